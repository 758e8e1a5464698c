/*
 * One side of a conversation between namespaces, for tests that arrange those with unshare(1) and setpriv(1).
 *
 *   identity DEVICE send            opens a peer whose descriptor it inherits as 3, sends to its node 8: see receive
 *   identity DEVICE receive CMD...  opens a peer, runs CMD with it as descriptor 3, and prints "uid gid pid tid", then the
 *                                   pid CMD says it has, for each message
 *   identity DEVICE map MAP CMD...  runs CMD in a user namespace with that map of users and groups (user_namespaces(7))
 */
#define _GNU_SOURCE
#include <sched.h>
#include "bus1-test.h"

static void write_map(pid_t child, const char *file, const char *map)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", child, file);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0 && write(fd, map, strlen(map)) == (ssize_t)strlen(map));
	close(fd);
}

static int run_mapped(const char *map, char **command)
{
	int ready[2], go[2];
	char byte = 0;
	CHECK(pipe2(ready, O_CLOEXEC) == 0 && pipe2(go, O_CLOEXEC) == 0);
	pid_t child = fork();
	if (child == 0) {
		CHECK(unshare(CLONE_NEWUSER) == 0);
		CHECK(write(ready[1], &byte, 1) == 1 && read(go[0], &byte, 1) == 1);
		execvp(command[0], command);
		_exit(127);
	}
	CHECK(read(ready[0], &byte, 1) == 1);
	write_map(child, "uid_map", map);
	write_map(child, "gid_map", map);
	CHECK(write(go[1], &byte, 1) == 1);
	join(child);
	return 0;
}

int main(int argc, char **argv)
{
	CHECK(argc >= 3);
	device = argv[1];
	if (!strcmp(argv[2], "send")) {
		EXPECT(send_text(3, 8, "who am I"), 0);
		printf("sender sees %d %d %d %d\n", geteuid(), getegid(), getpid(), gettid());
		return 0;
	}
	if (!strcmp(argv[2], "map")) return run_mapped(argv[3], argv + 4);
	int peer = peer_open();
	pid_t child = fork();
	if (child == 0) {
		dup2(peer, 3);
		fcntl(3, F_SETFD, 0);
		execvp(argv[3], argv + 3);
		_exit(127);
	}
	join(child);
	struct bus1_cmd_recv recv;
	EXPECT(recv_message(peer, &recv), 0);
	printf("receiver sees %u %u %u %u\n", recv.msg.uid, recv.msg.gid, recv.msg.pid, recv.msg.tid);
	return 0;
}
