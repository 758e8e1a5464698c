/* Peers: opening, limits, ending, poll, and what the device looks like. Contract sections 1, 3 and 4. */
#include "bus1-test.h"
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static void open_with_any_mode(void)
{
	static const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR, 3, O_RDWR | O_NONBLOCK, O_RDWR | O_TRUNC, O_RDWR | O_CREAT };
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
		struct bus1_cmd_peer_reset q;
		int fd = open(device, modes[i], 0600);
		CHECK(fd >= 0);
		EXPECT(query(fd, &q), 0);
		close(fd);
	}
}

static void looks_like_a_character_device(void)
{
	struct stat st;
	struct statx stx;
	CHECK(stat(device, &st) == 0);
	CHECK(S_ISCHR(st.st_mode));
	EXPECT(st.st_mode & 07777, 0666);
	EXPECT(major(st.st_rdev), 10);
	EXPECT(minor(st.st_rdev), 58);
	CHECK(lstat(device, &st) == 0 && S_ISCHR(st.st_mode));
	CHECK(statx(AT_FDCWD, device, 0, STATX_BASIC_STATS, &stx) == 0 && S_ISCHR(stx.stx_mode));
	EXPECT(access(device, R_OK | W_OK), 0);
	EXPECT(result(access(device, X_OK)), -EACCES);
}

static void stays_what_it_is(void)
{
	EXPECT(result(unlink(device)), -EPERM);
	EXPECT(result(chmod(device, 0600)), -EPERM);
}

static void read_write_and_seek(void)
{
	int p = peer_open();
	char byte;
	EXPECT(result(read(p, &byte, 1)), -EINVAL);
	EXPECT(result(write(p, "x", 1)), -EINVAL);
	EXPECT(result(pread(p, &byte, 1, 0)), -EINVAL);
	EXPECT(lseek(p, 0, SEEK_CUR), 0);
	EXPECT(lseek(p, 0, SEEK_SET), 0);
}

static void unknown_ioctls(void)
{
	static const unsigned long numbers[] = { 0, 0x9600, 0xc0089603, 0xc0209603, 0xc0689650, 0x80509640, 0xc0089700, 0x5413,
						 0xffffffff };
	static char argument[16384];
	int p = peer_open();
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) EXPECT(command(p, numbers[i], argument), -ENOTTY);
	EXPECT(disconnect(p), 0);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) EXPECT(command(p, numbers[i], argument), -ESHUTDOWN);
}

static void query_reports_the_limits(void)
{
	struct bus1_cmd_peer_reset q;
	int p = peer_open();
	EXPECT(query(p, &q), 0);
	EXPECT(q.peer_flags, 0);
	EXPECT(q.max_slices, 16384);
	EXPECT(q.max_handles, 65536);
	EXPECT(q.max_inflight_bytes, 16 << 20);
	EXPECT(q.max_inflight_fds, 4096);
	q.flags = 1;
	EXPECT(command(p, BUS1_CMD_PEER_QUERY, &q), -EINVAL);
	q.flags = 1ULL << 32;
	EXPECT(command(p, BUS1_CMD_PEER_QUERY, &q), -EINVAL);
}

static void reset_checks_and_sets(void)
{
	struct bus1_cmd_peer_reset q;
	int p = peer_open();
	EXPECT(reset(p, RESET(.flags = 4)), -EINVAL);
	EXPECT(reset(p, RESET(.flags = 1ULL << 63)), -EINVAL);
	EXPECT(reset(p, RESET(.peer_flags = 2)), -EINVAL);
	EXPECT(reset(p, RESET(.max_slices = 0x80000000)), -EINVAL);
	EXPECT(reset(p, RESET(.max_handles = 0xfffffffe)), -EINVAL);
	EXPECT(reset(p, RESET(.max_slices = 1, .max_inflight_fds = 0x80000000)), -EINVAL);
	EXPECT(query(p, &q), 0);
	EXPECT(q.max_slices, 16384);
	EXPECT(reset(p, RESET(.peer_flags = BUS1_PEER_FLAG_WANT_SECCTX, .max_slices = 1, .max_handles = 0x7fffffff)), 0);
	EXPECT(query(p, &q), 0);
	EXPECT(q.peer_flags, BUS1_PEER_FLAG_WANT_SECCTX);
	EXPECT(q.max_slices, 1);
	EXPECT(q.max_handles, 0x7fffffff);
	EXPECT(q.max_inflight_bytes, 16 << 20);
	EXPECT(reset(p, RESET(.peer_flags = 0, .max_inflight_bytes = 0, .max_inflight_fds = 7)), 0);
	EXPECT(query(p, &q), 0);
	EXPECT(q.peer_flags, 0);
	EXPECT(q.max_inflight_bytes, 0);
	EXPECT(q.max_inflight_fds, 7);
}

static void disconnect_ends_a_peer(void)
{
	int a = peer_open(), b = peer_open();
	__u64 one = 1, handle = give(b, 8, a);
	struct bus1_cmd_recv recv;
	EXPECT(command(a, BUS1_CMD_PEER_DISCONNECT, &one), -EINVAL);
	EXPECT(command(a, BUS1_CMD_PEER_DISCONNECT, (void *)BAD_POINTER), -EFAULT);
	EXPECT(disconnect(b), 0);
	EXPECT(disconnect(b), -ESHUTDOWN);
	EXPECT(send_text(b, 8, "x"), -ESHUTDOWN);
	EXPECT(recv_message(b, &recv), -ESHUTDOWN);
	EXPECT(release(b, 8), -ESHUTDOWN);
	EXPECT(slice_release(b, 0), -ESHUTDOWN);
	EXPECT(send_text(a, handle, "x"), -ESHUTDOWN);
	EXPECT_NOTE(a, NODE_DESTROY, handle);
	EXPECT(send_text(a, handle, "x"), -ESHUTDOWN);
	EXPECT(transfer(a, 8, b, NULL), -ESHUTDOWN);
	EXPECT(release(a, handle), 0);
	CHECK(nothing(a));
}

static void what_was_sent_survives_its_sender(void)
{
	int a = peer_open(), b = peer_open();
	__u64 handle = give(b, 8, a);
	struct bus1_cmd_recv recv;
	EXPECT(send_handles(a, handle, ARRAY(16)), 0);
	close(a);
	EXPECT(recv_message(b, &recv), 0);
	EXPECT(recv.msg.type, BUS1_MSG_DATA);
	EXPECT(handle_at(b, &recv, 0), 1 << 3 | 3);
	EXPECT_NOTE(b, NODE_DESTROY, 1 << 3 | 3);
	EXPECT_NOTE(b, NODE_RELEASE, 8);
	CHECK(nothing(b));
}

static void close_order_of_notifications(void)
{
	int a = peer_open(), b = peer_open();
	struct bus1_cmd_recv recv;
	__u64 to_a = give(a, 8, b), other = give(a, 16, b);
	give(b, 800, a);
	EXPECT(send_handles(b, to_a, ARRAY(808)), 0);
	close(a);
	/* all destructions are one transaction, then the releases one by one: user references, then dropped messages */
	EXPECT(recv_message(b, &recv), 0);
	EXPECT(recv.msg.type, BUS1_MSG_NODE_DESTROY);
	EXPECT(recv.msg.flags, BUS1_MSG_FLAG_CONTINUE);
	EXPECT(recv_message(b, &recv), 0);
	EXPECT(recv.msg.type, BUS1_MSG_NODE_DESTROY);
	EXPECT(recv.msg.flags, 0);
	EXPECT_NOTE(b, NODE_RELEASE, 800);
	EXPECT_NOTE(b, NODE_RELEASE, 808);
	CHECK(nothing(b));
	EXPECT(release(b, to_a), 0);
	EXPECT(release(b, other), 0);
}

static void poll_tells_the_state(void)
{
	int a = peer_open(), b = peer_open();
	__u64 handle = give(b, 8, a);
	EXPECT(poll_now(b), IDLE);
	EXPECT(send_text(a, handle, "x"), 0);
	EXPECT(poll_now(b), READABLE);
	EXPECT(poll_now(a), IDLE);
	EXPECT_TEXT(b, 8, "x");
	EXPECT(poll_now(b), IDLE);
	EXPECT(send_text(a, handle, "x"), 0);
	EXPECT(flush(b), 0);
	EXPECT(poll_now(b), IDLE);
	EXPECT(disconnect(b), 0);
	EXPECT(poll_now(b), POLLHUP);
	EXPECT(poll_now(a), READABLE);
}

static void poll_ignores_what_can_never_be_received(void)
{
	int a = peer_open(), b = peer_open();
	__u64 handle = give(b, 8, a);
	EXPECT(destroy(b, 0, ARRAY(8)), 0);
	EXPECT_NOTE(b, NODE_DESTROY, 8);
	EXPECT(send_text(a, handle, "late"), 0);
	EXPECT(poll_now(b), IDLE);
	CHECK(nothing(b));
}

/* Returns once a process is blocked in poll, select or epoll_wait, and the daemon has answered what it asked there. */
static void await_waiting(pid_t pid, int peer)
{
	static const long calls[] = { SYS_poll, SYS_ppoll, SYS_select, SYS_pselect6, SYS_epoll_wait, SYS_epoll_pwait };
	char path[64], text[256];
	struct bus1_cmd_peer_reset q;
	snprintf(path, sizeof path, "/proc/%d/syscall", pid);
	for (;;) {
		FILE *file = fopen(path, "re");
		CHECK(file && fgets(text, sizeof text, file));
		fclose(file);
		for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
			if (strncmp(text, "running", 7) == 0 || strtol(text, NULL, 10) != calls[i]) continue;
			EXPECT(query(peer, &q), 0); /* requests are answered in order */
			return;
		}
	}
}

static void wait_for(int b, void (*wait)(int), void (*cause)(int, __u64))
{
	int a = peer_open();
	__u64 handle = give(b, 8, a);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		await_waiting(getppid(), a);
		cause(a, handle);
		_exit(0);
	}
	wait(b);
	join(child);
}

static void cause_message(int a, __u64 handle)
{
	EXPECT(send_text(a, handle, "wake"), 0);
}

static void poll_wait(int b)
{
	struct pollfd p = { b, POLLIN, 0 };
	EXPECT(poll(&p, 1, AWAIT_MS), 1);
	EXPECT(p.revents, POLLIN);
}

static void select_wait(int b)
{
	fd_set set;
	struct timeval limit = { AWAIT_MS / 1000, 0 };
	FD_ZERO(&set);
	FD_SET(b, &set);
	EXPECT(select(b + 1, &set, NULL, NULL, &limit), 1);
	CHECK(FD_ISSET(b, &set));
}

static int epoll_on(int peer, uint32_t events)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = events };
	CHECK(epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, peer, &event) == 0);
	return epoll;
}

static void epoll_wait_level(int b)
{
	struct epoll_event event;
	int epoll = epoll_on(b, EPOLLIN);
	EXPECT(epoll_wait(epoll, &event, 1, AWAIT_MS), 1);
	EXPECT(event.events, EPOLLIN);
	EXPECT(epoll_wait(epoll, &event, 1, 0), 1);
}

static void poll_select_and_epoll_wake(void)
{
	wait_for(peer_open(), poll_wait, cause_message);
	wait_for(peer_open(), select_wait, cause_message);
	wait_for(peer_open(), epoll_wait_level, cause_message);
}

static void cause_disconnect_of_9(int a, __u64 handle)
{
	(void)a, (void)handle;
	EXPECT(disconnect(9), 0);
}

static void hup_wait(int b)
{
	struct pollfd p = { b, POLLIN, 0 };
	EXPECT(poll(&p, 1, AWAIT_MS), 1);
	EXPECT(p.revents, POLLHUP);
}

static void disconnect_wakes(void)
{
	int b = peer_open();
	CHECK(dup2(b, 9) == 9);
	wait_for(9, hup_wait, cause_disconnect_of_9);
}

static void epoll_edge_triggered(void)
{
	int a = peer_open(), b = peer_open(), epoll = epoll_on(b, EPOLLIN | EPOLLET);
	__u64 handle = give(b, 8, a);
	struct epoll_event event;
	for (int i = 0; i < 100; i++) {
		EXPECT(epoll_wait(epoll, &event, 1, 0), 0);
		EXPECT(send_text(a, handle, "edge"), 0);
		EXPECT(epoll_wait(epoll, &event, 1, 0), 1);
		EXPECT(epoll_wait(epoll, &event, 1, 0), 0);
		EXPECT_TEXT(b, 8, "edge");
	}
}

static void pool_mappings(void)
{
	int a = peer_open(), b = peer_open();
	const uint8_t *before = pool(b);
	struct bus1_cmd_recv recv;
	EXPECT(send_text(a, give(b, 8, a), "shared"), 0);
	EXPECT(recv_message(b, &recv), 0);
	EXPECT(memcmp(before + recv.msg.offset, "shared", 6), 0);
	const uint8_t *after = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, b, 0);
	CHECK(after != MAP_FAILED);
	EXPECT(memcmp(after + recv.msg.offset, "shared", 6), 0);
	EXPECT(before[POOL_SIZE - 4096], 0);
	EXPECT(before[1 << 20], 0);
	const uint8_t *other = pool(a);
	EXPECT(other[0], 0);
	close(b);
	EXPECT(memcmp(before + recv.msg.offset, "shared", 6), 0);
}

/* However many they are: a message sent after closes comes after what the closes caused. */
static void closes_are_not_overtaken(void)
{
	enum { PEERS = 400 };
	int sender = peer_open(), b = peer_open(), others[PEERS];
	__u64 to_b = give(b, 8, sender), handles[PEERS];
	for (int i = 0; i < PEERS; i++) handles[i] = give(others[i] = peer_open(), 8, b);
	for (int i = 0; i < PEERS; i++) close(others[i]);
	EXPECT(send_text(sender, to_b, "after"), 0);
	for (int i = 0; i < PEERS; i++) EXPECT_NOTE(b, NODE_DESTROY, handles[i]);
	EXPECT_TEXT(b, 8, "after");
}

MAIN(CASE(open_with_any_mode), CASE(looks_like_a_character_device), CASE(stays_what_it_is), CASE(read_write_and_seek),
     CASE(unknown_ioctls),
     CASE(query_reports_the_limits), CASE(reset_checks_and_sets), CASE(disconnect_ends_a_peer),
     CASE(what_was_sent_survives_its_sender), CASE(close_order_of_notifications), CASE(closes_are_not_overtaken), CASE(poll_tells_the_state),
     CASE(poll_ignores_what_can_never_be_received), CASE(poll_select_and_epoll_wake), CASE(disconnect_wakes),
     CASE(epoll_edge_triggered), CASE(pool_mappings))
