/* The ABI of 2026 between processes and users, what poll says, quotas, and beside the ABI of 2016. */
#include "bus1-2026-test.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

static void become_user(uid_t uid)
{
	CHECK(setresuid(uid, uid, uid) == 0);
}

/* ---- files and processes */

static void dup_and_fork_share_a_peer(void)
{
	int a = peer_open(), copy = dup(a);
	struct pair p = create(a, SELF);
	pid_t child = fork();
	if (child == 0) {
		EXPECT(post(a, p.handle, "from the child"), 0);
		close(a);
		_exit(0);
	}
	join(child);
	close(a);
	EXPECT_POST(copy, p.node, "from the child", 0);
}

static void send_fd(int socket, int fd)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec vec = { "x", 1 };
	struct msghdr message = { .msg_iov = &vec, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd) };
	memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
	CHECK(sendmsg(socket, &message, 0) == 1);
}

static int receive_fd(int socket)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char byte;
	int fd;
	struct iovec vec = { &byte, 1 };
	struct msghdr message = { .msg_iov = &vec, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	CHECK(recvmsg(socket, &message, MSG_CMSG_CLOEXEC) == 1);
	CHECK(control.head.cmsg_len == CMSG_LEN(sizeof fd));
	memcpy(&fd, CMSG_DATA(&control.head), sizeof fd);
	return fd;
}

/* How strangers meet: one gets a descriptor of a peer of the other's, gives it a handle, and closes it. */
static void a_peer_passed_by_descriptor_gets_handles(void)
{
	int sockets[2], a = peer_open();
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets) == 0);
	pid_t child = fork();
	if (child == 0) {
		close(a);
		become_user(1234);
		int own = peer_open(), other = receive_fd(sockets[1]);
		struct pair p = create(own, other);
		close(other);
		EXPECT(result(write(sockets[1], &p.handle, sizeof p.handle)), sizeof p.handle);
		struct pollfd wait = { own, POLLIN, 0 };
		EXPECT(poll(&wait, 1, 5000), 1);
		struct received r;
		EXPECT(take(own, &r), 0);
		EXPECT(r.metadata.id, p.node);
		EXPECT(r.metadata.account, 0);
		EXPECT(memcmp(r.text, "hello", 5), 0);
		EXPECT(post(own, r.transfers[0].id, "hello yourself"), 0);
		exit(0);
	}
	__u64 handle;
	send_fd(sockets[0], a);
	EXPECT(result(read(sockets[0], &handle, sizeof handle)), sizeof handle);
	struct pair answer = create(a, SELF);
	EXPECT(post_with(a, handle, "hello", answer.handle), 0);
	join(child);
	struct received r;
	EXPECT(take(a, &r), 0);
	EXPECT(r.metadata.id, answer.node);
	EXPECT(r.metadata.account, 1234);
	EXPECT_NODE_RELEASE(a, handle);
	EXPECT(drop(a, answer.handle), 0);
	EXPECT_HANDLE_RELEASE(a, answer.node);
}

static void exit_of_a_process_ends_its_nodes_and_handles(void)
{
	int a = peer_open(), ready[2];
	CHECK(pipe(ready) == 0);
	struct pair kept = create(a, SELF);
	pid_t child = fork();
	if (child == 0) {
		int own = peer_open();
		struct pair p = create(own, a);
		copy(a, kept.handle, own);
		EXPECT(drop(a, kept.handle), 0);
		CHECK(write(ready[1], &p, sizeof p) == sizeof p);
		pause();
	}
	struct pair p;
	CHECK(read(ready[0], &p, sizeof p) == sizeof p);
	EXPECT_EMPTY(a);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	struct pollfd wait = { a, POLLIN, 0 };
	EXPECT(poll(&wait, 1, 5000), 1);
	EXPECT_NODE_RELEASE(a, p.handle);
	EXPECT(poll(&wait, 1, 5000), 1);
	EXPECT_HANDLE_RELEASE(a, kept.node);
	EXPECT_EMPTY(a);
}

static void the_account_is_whoever_opened_the_sender(void)
{
	int a = peer_open(), b = peer_open();
	struct pair p = create(a, b);
	pid_t child = fork();
	if (child == 0) {
		become_user(1234);
		/* the sending process does not matter */
		EXPECT(post(b, p.handle, "x"), 0);
		/* and not the file system uid either, once it is open */
		int own = peer_open();
		__u64 handle = copy(b, p.handle, own);
		EXPECT(post(own, handle, "y"), 0);
		_exit(0);
	}
	join(child);
	EXPECT_POST(a, p.node, "x", 0);
	struct received r;
	EXPECT(take(a, &r), 0);
	EXPECT(r.metadata.account, 1234);
	/* an id that the receiver's user namespace does not have */
	child = fork();
	if (child == 0) {
		CHECK(unshare(CLONE_NEWUSER) == 0);
		int own = peer_open();
		struct pair q = create(own, b);
		EXPECT(post(b, q.handle, "z"), 0);
		EXPECT(take(own, &r), 0);
		EXPECT(r.metadata.account, 65534);
		_exit(0);
	}
	join(child);
}

static void another_mount_is_another_bus(void)
{
	const char *path = getenv("OTHER_DEVICE");
	CHECK(path);
	int a = peer_open(), other = open(path, O_RDWR | O_CLOEXEC);
	CHECK(other >= 0);
	struct bus1_transfer src = CREATE, dst;
	EXPECT(transfer_to(a, other, 1, &src, &dst), -EOPNOTSUPP);
	EXPECT(create(other, SELF).node, 1);
	EXPECT(create(a, SELF).node, 1);
}

static void any_way_of_opening(void)
{
	int a = open(device, O_RDONLY | O_NONBLOCK), b = open(device, O_WRONLY);
	CHECK(a >= 0 && b >= 0);
	struct pair p = create(a, b);
	EXPECT(post(b, p.handle, "x"), 0);
	EXPECT_POST(a, p.node, "x", 0);
	EXPECT_EMPTY(b);
}

static struct pair threads_pair;

static void *post_1000(void *peer)
{
	for (int i = 0; i < 1000; i++) EXPECT(post(*(int *)peer, threads_pair.handle, "from a thread"), 0);
	return NULL;
}

static void threads_share_a_peer(void)
{
	enum { N = 4 };
	int a = peer_open();
	threads_pair = create(a, SELF);
	pthread_t threads[N];
	for (int i = 0; i < N; i++) CHECK(pthread_create(&threads[i], NULL, post_1000, &a) == 0);
	for (int i = 0; i < N * 1000; i++) {
		struct pollfd wait = { a, POLLIN, 0 };
		EXPECT(poll(&wait, 1, 5000), 1);
		EXPECT_POST(a, threads_pair.node, "from a thread", 0);
	}
	for (int i = 0; i < N; i++) pthread_join(threads[i], NULL);
	EXPECT_EMPTY(a);
}

/* One copy for all, and each receiver gets it whole. */
static void a_large_multicast(void)
{
	enum {
		SIZE = 24 << 20,
		N = 3,
	};
	int a = peer_open(), peers[N];
	__u64 handles[N];
	struct bus1_metadata metadata;
	char *sent = mmap(NULL, 2 * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *got = sent + SIZE;
	CHECK(sent != MAP_FAILED);
	for (size_t i = 0; i < SIZE; i++) sent[i] = i * 31 >> 3;
	for (int i = 0; i < N; i++) handles[i] = create(peers[i] = peer_open(), a).handle;
	struct iovec out[2] = { { sent, 12345 }, { sent + 12345, SIZE - 12345 } }, in[3] = { { got, 1 }, { got + 1, SIZE - 2 }, { got + SIZE - 1, 1 } };
	struct bus1_message m = { .n_data = SIZE, .n_data_vecs = 2, .ptr_data_vecs = BUS1_FROM_PTR(out) };
	EXPECT(post_message(a, &m, handles, N, NULL), 0);
	for (int i = 0; i < N; i++) {
		memset(got, 0, SIZE);
		m = (struct bus1_message){ .type = BUS1_INVALID, .n_data = SIZE, .n_data_vecs = 3, .ptr_data_vecs = BUS1_FROM_PTR(in) };
		EXPECT(take_message(peers[i], &metadata, &m), 0);
		EXPECT(m.n_data, SIZE);
		EXPECT(memcmp(got, sent, SIZE), 0);
	}
}

/* ---- poll */

static void poll_edges(void)
{
	int a = peer_open(), b = peer_open(), set = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	struct received r;
	EXPECT(poll_now(a), IDLE);
	struct pair p = create(a, b);
	EXPECT(poll_now(a), IDLE);
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, a, &event) == 0);
	EXPECT(epoll_wait(set, &event, 1, 0), 0);
	EXPECT(post(b, p.handle, "x"), 0);
	EXPECT(epoll_wait(set, &event, 1, 0), 1);
	EXPECT(event.events, EPOLLIN);
	EXPECT(epoll_wait(set, &event, 1, 0), 0);
	EXPECT(poll_now(a), READABLE);
	EXPECT(poll_now(b), IDLE);
	EXPECT(take(a, &r), 0);
	EXPECT(poll_now(a), IDLE);
	EXPECT(epoll_wait(set, &event, 1, 0), 0);
	/* a message that is dropped before anybody looks */
	EXPECT(post(b, p.handle, "x"), 0);
	EXPECT(drop(a, p.node), 0);
	EXPECT(poll_now(a), IDLE);
	EXPECT(poll_now(b), READABLE);
	/* a notification that is no longer true */
	EXPECT(drop(b, p.handle), 0);
	EXPECT(poll_now(b), IDLE);
	/* whoever waits is woken by a message, a node that ends and a handle that ends */
	p = create(a, b);
	struct pair q = create(b, a);
	while (epoll_wait(set, &event, 1, 0) > 0) continue;
	EXPECT(drop(b, q.node), 0);
	EXPECT(epoll_wait(set, &event, 1, 0), 1);
	EXPECT_NODE_RELEASE(a, q.handle);
	EXPECT(drop(b, p.handle), 0);
	EXPECT(epoll_wait(set, &event, 1, 0), 1);
	EXPECT_HANDLE_RELEASE(a, p.node);
	EXPECT(epoll_wait(set, &event, 1, 0), 0);
}

/* Who waits on a file before it has spoken at all. */
static void a_wait_begins_before_the_first_command(void)
{
	int a = peer_open(), b = peer_open(), set = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, b, &event) == 0);
	EXPECT(epoll_wait(set, &event, 1, 0), 0);
	struct pair p = create(a, b);
	EXPECT(drop(a, p.node), 0);
	EXPECT(epoll_wait(set, &event, 1, 0), 1);
	EXPECT_NODE_RELEASE(b, p.handle);
}

/* ---- quotas */

#define OBJECTS (1 << 20)

/* SEND of so many copies of one handle; the array is read once for all. */
static int post_many(int peer, __u64 destination, __u64 handle, size_t n)
{
	struct bus1_transfer *transfers = malloc((n + 1) * sizeof *transfers);
	CHECK(transfers);
	for (size_t i = 0; i < n; i++) transfers[i] = COPY(handle);
	struct bus1_message m = { .n_transfers = n, .ptr_transfers = BUS1_FROM_PTR(transfers) };
	int r = post_message(peer, &m, &destination, 1, NULL);
	free(transfers);
	return r;
}

static void objects_are_limited(void)
{
	enum { N = 4096 };
	static struct bus1_transfer src[N], dst[N];
	int a = peer_open();
	struct pair p = create(a, SELF);
	for (int i = 0; i < N; i++) src[i] = COPY(p.handle);
	EXPECT(transfer_to(a, SELF, OBJECTS + 1, src, dst), -EDQUOT);
	EXPECT(post_many(a, p.handle, p.handle, OBJECTS - 2), -EDQUOT);
	EXPECT(post_many(a, p.handle, p.handle, 1000), 0);
	/* what is in use at the other end of a failed call is as before */
	int others = 0;
	while (transfer_to(a, SELF, N, src, dst) == 0) others++;
	EXPECT(errno, EDQUOT);
	EXPECT(others, (OBJECTS - 2 - 1001) / N);
	size_t left = (OBJECTS - 2 - 1001) % N;
	EXPECT(transfer_to(a, SELF, left + 1, src, dst), -EDQUOT);
	EXPECT(transfer_to(a, SELF, left, src, dst), 0);
	src[0] = CREATE;
	EXPECT(transfer_to(a, SELF, 1, src, dst), -EDQUOT);
	EXPECT(post(a, p.handle, "x"), -EDQUOT);
	/* they are the user's, not the peer's */
	int b = peer_open();
	src[0] = CREATE;
	EXPECT(transfer_to(b, SELF, 1, src, dst), -EDQUOT);
	EXPECT(drop(a, dst[1].id, dst[2].id), 0);
	EXPECT(create(b, SELF).node != 0, 1);
	close(a);
	struct pair q = create(b, SELF);
	EXPECT(post_many(b, q.handle, q.handle, 1000), 0);
}

static void bytes_are_limited(void)
{
	enum { SIZE = 1 << 30 };
	int a = peer_open();
	struct pair p = create(a, SELF);
	struct iovec vec = { NULL, SIZE };
	struct bus1_message m = { .n_data = SIZE + 1U, .n_data_vecs = 1, .ptr_data_vecs = BUS1_FROM_PTR(&vec) };
	EXPECT(post_message(a, &m, &p.handle, 1, NULL), -EDQUOT);
	m.n_data = SIZE;
	EXPECT(post_message(a, &m, &p.handle, 1, NULL), -EFAULT);
	EXPECT_EMPTY(a);
}

static void another_users_share_is_bounded(void)
{
	int a = peer_open(), b = peer_open();
	struct pair p = create(a, b);
	pid_t child = fork();
	if (child == 0) {
		become_user(1234);
		int own = peer_open();
		__u64 handle = copy(b, p.handle, own);
		EXPECT(post_many(own, handle, handle, OBJECTS / 2), -EDQUOT);
		EXPECT(post_many(own, handle, handle, 1000), 0);
		_exit(0);
	}
	join(child);
	EXPECT(post(b, p.handle, "still possible"), 0);
}

/* ---- beside the ABI of 2016 */

/* By number, since the two headers share names. */
static const unsigned long commands_2016[] = {
	0xc0209601,
	0xc0209602,
	0xc0089610,
	0xc0209611,
	0xc0189620,
	0xc0089630,
	0xc0509640,
	0xc0609650,
	0xc0489650,
	0xc0089600,
};
static const unsigned long commands_2026[] = { BUS1_CMD_TRANSFER, BUS1_CMD_RELEASE, BUS1_CMD_SEND, BUS1_CMD_RECV };

static void expect_all(int peer, const unsigned long *numbers, size_t size, int error)
{
	for (size_t i = 0; i < size / sizeof *numbers; i++) {
		char argument[128] = { 0 };
		EXPECT(command(peer, numbers[i], argument), error);
	}
}

static void the_first_command_decides(void)
{
	char nonsense[128];
	memset(nonsense, 0xff, sizeof nonsense);
	for (size_t i = 0; i < sizeof commands_2026 / sizeof *commands_2026; i++) {
		int a = peer_open();
		EXPECT(command(a, commands_2026[i], nonsense), -EINVAL);
		expect_all(a, commands_2016, sizeof commands_2016, -ENOTTY);
		EXPECT(create(a, SELF).node, 1);
		EXPECT_EMPTY(a);
		close(a);
	}
	for (size_t i = 0; i < sizeof commands_2016 / sizeof *commands_2016; i++) {
		int a = peer_open(), r = command(a, commands_2016[i], nonsense);
		CHECK(r == -EINVAL || r == -ENXIO);
		expect_all(a, commands_2026, sizeof commands_2026, -ENOTTY);
		EXPECT(send_text(a, 8, "x"), 0);
		EXPECT_TEXT(a, 8, "x");
		close(a);
	}
}

static void what_is_no_command_decides_nothing(void)
{
	int a = peer_open(), b = peer_open();
	char argument[128] = { 0 };
	for (int i = 0; i < 2; i++) {
		EXPECT(command(i ? a : b, 0x5401 /* TCGETS */, argument), -ENOTTY);
		EXPECT(command(i ? a : b, _IOWR(0x97, 0x04, char[24]), argument), -ENOTTY);
		EXPECT(command(i ? a : b, _IOWR(0x96, 0x60, char[24]), argument), -ENOTTY);
		EXPECT(poll_now(i ? a : b), IDLE);
	}
	EXPECT(create(a, SELF).node, 1);
	EXPECT(send_text(b, 8, "x"), 0);
}

static void being_given_a_handle_decides(void)
{
	int a = peer_open(), b = peer_open(), c = peer_open(), d = peer_open();
	EXPECT(create(a, b).handle, 1);
	expect_all(b, commands_2016, sizeof commands_2016, -ENOTTY);
	CHECK(give(c, 8, d) != 0);
	expect_all(d, commands_2026, sizeof commands_2026, -ENOTTY);
	/* and there is no way across */
	struct bus1_transfer src = CREATE, dst;
	EXPECT(transfer_to(a, c, 1, &src, &dst), -EOPNOTSUPP);
	EXPECT(transfer_to(a, d, 1, &src, &dst), -EOPNOTSUPP);
	EXPECT(transfer(c, 8, a, NULL), -EOPNOTSUPP);
	EXPECT(transfer(c, 8, b, NULL), -EOPNOTSUPP);
}

static void both_buses_at_once(void)
{
	int a = peer_open(), b = peer_open(), c = peer_open(), d = peer_open();
	struct pair p = create(a, b);
	__u64 handle = give(c, 8, d);
	EXPECT(send_text(d, handle, "2016"), 0);
	EXPECT(poll_now(a), IDLE);
	EXPECT(post(b, p.handle, "2026"), 0);
	EXPECT_TEXT(c, 8, "2016");
	EXPECT(poll_now(c), IDLE);
	EXPECT_POST(a, p.node, "2026", 0);
	close(b);
	EXPECT_HANDLE_RELEASE(a, p.node);
	EXPECT(poll_now(c), IDLE);
	EXPECT(disconnect(c), 0);
	EXPECT_NOTE(d, NODE_DESTROY, handle);
	EXPECT_EMPTY(a);
	/* what is disconnected says so to all */
	EXPECT(poll_now(c) & POLLHUP, POLLHUP);
	expect_all(c, commands_2026, sizeof commands_2026, -ESHUTDOWN);
}

/* ---- clients that go wrong */

static void killed_at_any_moment(void)
{
	int a = peer_open();
	struct pair p = create(a, SELF);
	for (int i = 0; i < 100; i++) {
		int go = eventfd(0, EFD_CLOEXEC);
		pid_t child = fork();
		if (child == 0) {
			int own = peer_open();
			__u64 handle = copy(a, p.handle, own), one = 1;
			CHECK(write(go, &one, 8) == 8);
			for (;;) {
				struct pair q = create(own, SELF);
				post_with(own, q.handle, "self", handle, q.handle);
				drop(own, q.handle);
				struct received r;
				take(own, &r);
				drop(own, q.node);
			}
		}
		__u64 value;
		CHECK(read(go, &value, 8) == 8);
		usleep(i * 20);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		close(go);
	}
	EXPECT_EMPTY(a);
	EXPECT(drop(a, p.handle), 0);
	struct pollfd wait = { a, POLLIN, 0 };
	EXPECT(poll(&wait, 1, 5000), 1);
	EXPECT_HANDLE_RELEASE(a, p.node);
	EXPECT_EMPTY(a);
}

static void bad_pointers_everywhere(void)
{
	static const __u64 pointers[] = { 0, 1, 0x1000, 0x7fffffffeff8, 0x7ffffffff000, 0x800000000000, 0xffff888000000000, -8, -1 };
	int a = peer_open(), b = peer_open();
	struct pair p = create(a, b);
	EXPECT(post_with(b, p.handle, "stays", p.handle), 0);
	for (size_t i = 0; i < sizeof pointers / sizeof *pointers; i++) {
		__u64 bad = pointers[i];
		struct bus1_transfer entry = COPY(p.handle);
		struct bus1_cmd_transfer t = { .to = SELF, .n_transfers = 1, .ptr_src = bad, .ptr_dst = bad };
		EXPECT(command(b, BUS1_CMD_TRANSFER, &t), -EFAULT);
		t.ptr_src = BUS1_FROM_PTR(&entry);
		EXPECT(command(b, BUS1_CMD_TRANSFER, &t), -EFAULT);
		struct bus1_cmd_release r = { .n_ids = 1, .ptr_ids = bad };
		EXPECT(command(b, BUS1_CMD_RELEASE, &r), -EFAULT);
		struct bus1_cmd_send s = { .ptr_message = bad };
		EXPECT(command(b, BUS1_CMD_SEND, &s), -EFAULT);
		struct iovec vec = { (void *)(uintptr_t)bad, 1 };
		for (int j = 0; j < 4; j++) {
			struct bus1_message m = { .type = BUS1_MESSAGE_TYPE_USER };
			s = (struct bus1_cmd_send){ .n_destinations = 1, .ptr_destinations = BUS1_FROM_PTR(&p.handle), .ptr_message = BUS1_FROM_PTR(&m) };
			if (j == 0) m.n_data_vecs = m.n_data = 1, m.ptr_data_vecs = bad;
			if (j == 1) m.n_data_vecs = m.n_data = 1, m.ptr_data_vecs = BUS1_FROM_PTR(&vec);
			if (j == 2) m.n_transfers = 1, m.ptr_transfers = bad;
			if (j == 3) s.ptr_destinations = bad;
			/* a 32-bit program's vector holds what fits of the pointer */
			if (j == 1 && sizeof vec.iov_base == 4 && (uint32_t)bad != bad) continue;
			EXPECT(command(b, BUS1_CMD_SEND, &s), -EFAULT);
		}
		struct bus1_metadata metadata;
		for (int j = 0; j < 4; j++) {
			struct iovec good = { &metadata, sizeof metadata };
			struct bus1_message m = { .type = BUS1_INVALID, .n_transfers = 1, .ptr_transfers = BUS1_FROM_PTR(&entry), .n_data = 5 };
			m.n_data_vecs = 1, m.ptr_data_vecs = BUS1_FROM_PTR(&good);
			struct bus1_cmd_recv v = { .ptr_metadata = BUS1_FROM_PTR(&metadata), .ptr_message = BUS1_FROM_PTR(&m) };
			if (j == 0) v.ptr_message = bad;
			if (j == 1) v.ptr_metadata = bad;
			if (j == 2) m.ptr_transfers = bad;
			if (j == 3) m.ptr_data_vecs = bad;
			EXPECT(command(a, BUS1_CMD_RECV, &v), -EFAULT);
		}
	}
	EXPECT_POST(a, p.node, "stays", 1);
	EXPECT_EMPTY(a);
}

MAIN(CASE(dup_and_fork_share_a_peer), CASE(a_peer_passed_by_descriptor_gets_handles),
     CASE(exit_of_a_process_ends_its_nodes_and_handles), CASE(the_account_is_whoever_opened_the_sender),
     CASE(another_mount_is_another_bus), CASE(any_way_of_opening), CASE(threads_share_a_peer), CASE(a_large_multicast),
     CASE(poll_edges), CASE(a_wait_begins_before_the_first_command), CASE(objects_are_limited), CASE(bytes_are_limited),
     CASE(another_users_share_is_bounded), CASE(the_first_command_decides), CASE(what_is_no_command_decides_nothing),
     CASE(being_given_a_handle_decides), CASE(both_buses_at_once), CASE(killed_at_any_moment), CASE(bad_pointers_everywhere))
