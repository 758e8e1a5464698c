/*
 * One side of a conversation between namespaces, for tests that arrange those with unshare(1) and setpriv(1).
 *
 *   identity DEVICE send            opens a peer whose descriptor it inherits as 3, sends to its node 8: see receive
 *   identity DEVICE receive CMD...  opens a peer, runs CMD with it as descriptor 3, and prints "uid gid pid tid", then the
 *                                   pid CMD says it has, for each message
 */
#include "bus1-test.h"

int main(int argc, char **argv)
{
	CHECK(argc >= 3);
	device = argv[1];
	if (!strcmp(argv[2], "send")) {
		EXPECT(send_text(3, 8, "who am I"), 0);
		printf("sender sees %d %d %d %d\n", geteuid(), getegid(), getpid(), gettid());
		return 0;
	}
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
