/* What clients are told while the daemon can have no more descriptors; needs a daemon with a low limit of them. */
#define _GNU_SOURCE
#include <libgen.h>
#include <sched.h>
#include <sys/resource.h>
#include "bus1-test.h"

static int send_null(int peer)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	__u64 own = 8;
	struct bus1_cmd_send send = { .ptr_destinations = (uintptr_t)&own, .n_destinations = 1, .ptr_fds = (uintptr_t)&fd, .n_fds = 1 };
	CHECK(fd >= 0);
	int r = command(peer, BUS1_CMD_SEND, &send);
	close(fd);
	return r;
}

/* The process that serves the device, as the text beside it says. */
static pid_t daemon_pid(void)
{
	char path[4096], text[65536] = "";
	const char *field = "\"devicePid\":";
	snprintf(path, sizeof path, "%s/status", dirname(strdup(device)));
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0 && read(fd, text, sizeof text - 1) > 0 && strstr(text, field));
	close(fd);
	return atoi(strstr(text, field) + strlen(field));
}

static pid_t server;
static struct rlimit limit;

/* From here on, and until relax(), the daemon gets EMFILE for every new descriptor. */
static void exhaust(void)
{
	server = daemon_pid();
	CHECK(prlimit(server, RLIMIT_NOFILE, NULL, &limit) == 0);
	CHECK(prlimit(server, RLIMIT_NOFILE, &(struct rlimit){ 3, limit.rlim_max }, NULL) == 0);
}

static void relax(void)
{
	CHECK(prlimit(server, RLIMIT_NOFILE, &limit, NULL) == 0);
}

static bool means_no_descriptors(int error)
{
	return error == -EMFILE || error == -ENFILE;
}

static void send_of_descriptors_is_a_matter_of_quota(void)
{
	int a = peer_open();
	exhaust();
	int r = send_null(a);
	relax();
	EXPECT(r, -EDQUOT);
	CHECK(nothing(a));
	EXPECT(send_null(a), 0);
}

static void open_says_what_is_missing(void)
{
	exhaust();
	int r = result(open(device, O_RDWR | O_CLOEXEC));
	relax();
	if (r < 0 && !means_no_descriptors(r)) EXPECT(r, -EMFILE);
}

/* The senders are processes that the daemon has not met before. */
static void no_sender_is_nobody(void)
{
	int a = peer_open(), status;
	struct bus1_cmd_recv recv;
	exhaust();
	pid_t child = fork();
	if (child == 0) {
		int r = send_text(a, 8, "who");
		_exit(r == 0 ? 0 : means_no_descriptors(r) || r == -EDQUOT ? 1
									   : 2);
	}
	CHECK(waitpid(child, &status, 0) == child);
	relax();
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) < 2);
	if (WEXITSTATUS(status) != 0) {
		CHECK(nothing(a));
		return;
	}
	EXPECT(recv_message(a, &recv), 0);
	EXPECT(recv.msg.pid, child);
	EXPECT(recv.msg.tid, child);
}

static void map_ids(pid_t child, const char *file)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", child, file);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0 && write(fd, "0 0 65536", 9) == 9);
	close(fd);
}

/* In namespaces of its own: what the daemon could not find out of them at the open would be wrong for ever. */
static void a_peer_knows_where_it_was_opened(void)
{
	int ready[2], go[2];
	char byte = 0;
	struct bus1_cmd_recv recv;
	CHECK(pipe2(ready, O_CLOEXEC) == 0 && pipe2(go, O_CLOEXEC) == 0);
	pid_t child = fork();
	if (child == 0) {
		CHECK(unshare(CLONE_NEWUSER | CLONE_NEWPID) == 0);
		CHECK(write(ready[1], &byte, 1) == 1 && read(go[0], &byte, 1) == 1);
		pid_t first = fork();
		if (first != 0) {
			join(first);
			_exit(0);
		}
		int fd = result(open(device, O_RDWR | O_CLOEXEC));
		CHECK(write(ready[1], &byte, 1) == 1 && read(go[0], &byte, 1) == 1);
		if (fd < 0) _exit(0);
		EXPECT(send_text(fd, 8, "me"), 0);
		EXPECT(recv_message(fd, &recv), 0);
		EXPECT(recv.msg.uid, 0);
		EXPECT(recv.msg.gid, 0);
		EXPECT(recv.msg.pid, 1);
		_exit(0);
	}
	CHECK(read(ready[0], &byte, 1) == 1);
	map_ids(child, "uid_map");
	map_ids(child, "gid_map");
	exhaust();
	CHECK(write(go[1], &byte, 1) == 1 && read(ready[0], &byte, 1) == 1);
	relax();
	CHECK(write(go[1], &byte, 1) == 1);
	join(child);
}

static void a_message_that_cannot_be_installed_stays(void)
{
	int a = peer_open(), fd;
	struct bus1_cmd_recv recv;
	const uint8_t *map = pool(a);
	EXPECT(send_null(a), 0);
	exhaust();
	int r = recv_flags(a, &recv, BUS1_RECV_FLAG_INSTALL_FDS);
	relax();
	if (r < 0) r = recv_flags(a, &recv, BUS1_RECV_FLAG_INSTALL_FDS);
	EXPECT(r, 0);
	memcpy(&fd, map + recv.msg.offset, sizeof fd);
	EXPECT(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

static void what_clients_took_they_can_give_back(void)
{
	int a = peer_open(), r, n = 0;
	struct bus1_cmd_recv recv;
	while ((r = send_null(a)) == 0) n++;
	EXPECT(r, -EDQUOT);
	int other = result(open(device, O_RDWR | O_CLOEXEC));
	CHECK(n > 0 && (other >= 0 || means_no_descriptors(other)));
	for (int i = 0; i < n; i++) {
		EXPECT(recv_message(a, &recv), 0);
		EXPECT(slice_release(a, recv.msg.offset), 0);
	}
	/* they are closed by and by */
	struct pollfd p = { a, POLLIN, 0 };
	for (int i = 0; send_null(a) != 0; i++) {
		CHECK(i < 5000);
		poll(&p, 1, 1);
	}
}

MAIN(CASE(send_of_descriptors_is_a_matter_of_quota), CASE(open_says_what_is_missing), CASE(no_sender_is_nobody),
     CASE(a_peer_knows_where_it_was_opened), CASE(a_message_that_cannot_be_installed_stays),
     CASE(what_clients_took_they_can_give_back))
