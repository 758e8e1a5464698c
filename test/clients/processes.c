/* Several processes, sharing, many peers, and clients that misbehave. */
#include "bus1-test.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void dup_and_fork_share_a_peer(void)
{
	int a = peer_open(), copy = dup(a);
	__u64 own = 8;
	pid_t child = fork();
	if (child == 0) {
		EXPECT(send_text(a, own, "from the child"), 0);
		close(a);
		_exit(0);
	}
	join(child);
	close(a);
	EXPECT_TEXT(copy, own, "from the child");
}

static void a_passed_descriptor_shares_the_peer(void)
{
	int sockets[2], a = peer_open(), b = peer_open();
	__u64 handle = give(a, 8, b);
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets) == 0);
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec vec = { "x", 1 };
	struct msghdr message = { .msg_iov = &vec, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	pid_t child = fork();
	if (child == 0) {
		char byte;
		int fd;
		close(a);
		vec.iov_base = &byte;
		CHECK(recvmsg(sockets[1], &message, 0) == 1);
		memcpy(&fd, CMSG_DATA(&control.head), sizeof fd);
		await_message(fd);
		EXPECT_TEXT(fd, 8, "for whoever holds it");
		_exit(0);
	}
	control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof a) };
	memcpy(CMSG_DATA(&control.head), &a, sizeof a);
	CHECK(sendmsg(sockets[0], &message, 0) == 1);
	close(a);
	/* not the last descriptor: nothing was destroyed */
	EXPECT(send_text(b, handle, "for whoever holds it"), 0);
	join(child);
	/* now it was */
	close(sockets[0]), close(sockets[1]);
	EXPECT_NOTE(b, NODE_DESTROY, handle);
}

static void exit_of_a_process_closes_its_peers(void)
{
	int a = peer_open(), ready[2];
	CHECK(pipe(ready) == 0);
	pid_t child = fork();
	if (child == 0) {
		int own = peer_open();
		__u64 handle = give(own, 8, a);
		CHECK(write(ready[1], &handle, sizeof handle) == sizeof handle);
		pause();
	}
	__u64 handle;
	CHECK(read(ready[0], &handle, sizeof handle) == sizeof handle);
	EXPECT(poll_now(a), IDLE);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	await_message(a);
	EXPECT_NOTE(a, NODE_DESTROY, handle);
}

static int threads_peer;
static pid_t thread_id;

static void *send_from_a_thread(void *unused)
{
	thread_id = gettid();
	EXPECT(send_text(threads_peer, 8, "thread"), 0);
	return unused;
}

static void credentials_are_those_of_the_sending_thread(void)
{
	int a = peer_open();
	struct bus1_cmd_recv recv;
	pthread_t thread;
	threads_peer = a;
	for (int i = 0; i < 50; i++) {
		CHECK(pthread_create(&thread, NULL, send_from_a_thread, NULL) == 0 && pthread_join(thread, NULL) == 0);
		EXPECT(recv_message(a, &recv), 0);
		EXPECT(recv.msg.pid, getpid());
		EXPECT(recv.msg.tid, thread_id);
	}
	pid_t child = fork();
	if (child == 0) {
		CHECK(setresgid(1234, 1234, 1234) == 0 && setresuid(4321, 4321, 4321) == 0);
		EXPECT(send_text(a, 8, "unprivileged"), 0);
		_exit(0);
	}
	join(child);
	EXPECT(recv_message(a, &recv), 0);
	EXPECT(recv.msg.pid, child);
	EXPECT(recv.msg.tid, child);
	EXPECT(recv.msg.uid, 4321);
	EXPECT(recv.msg.gid, 1234);
}

static pid_t clone_in_pid_namespace(void)
{
	pid_t child = syscall(SYS_clone, CLONE_NEWPID | CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	CHECK(child >= 0);
	return child;
}

/* The peer is opened in a pid namespace below the others, and shared through the descriptor table. */
static void an_invisible_sender_is_0(void)
{
	struct bus1_cmd_recv recv;
	pid_t child;
	int lowest = dup(0);
	close(lowest);
	if ((child = clone_in_pid_namespace()) == 0) {
		EXPECT(peer_open(), lowest);
		EXPECT(send_text(lowest, 8, "from inside"), 0);
		CHECK(open("/proc/self/ns/pid", O_RDONLY) > lowest); /* keeps its number from the sibling's */
		_exit(0);
	}
	join(child);
	EXPECT(send_text(lowest, 8, "from outside"), 0);
	if ((child = clone_in_pid_namespace()) == 0) {
		EXPECT(send_text(lowest, 8, "from a sibling"), 0);
		_exit(0);
	}
	join(child);
	for (int i = 0; i < 3; i++) {
		EXPECT(recv_message(lowest, &recv), 0);
		EXPECT(recv.msg.pid, i == 0);
		EXPECT(recv.msg.tid, i == 0);
		EXPECT(recv.msg.uid, getuid());
	}
}

static ino_t pid_namespace(void)
{
	struct stat st;
	CHECK(stat("/proc/self/ns/pid", &st) == 0);
	return st.st_ino;
}

/* The kernel numbers namespaces, and uses the number of one that is gone again; it is another one all the same. */
static void a_namespace_of_the_same_number_is_another_one(void)
{
	struct bus1_cmd_recv recv;
	int lowest = dup(0), status;
	ino_t *first = mmap(NULL, sizeof *first, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child;
	close(lowest);
	if ((child = clone_in_pid_namespace()) == 0) {
		EXPECT(peer_open(), lowest);
		*first = pid_namespace();
		_exit(0);
	}
	join(child);
	for (int i = 0; i < 1000; i++) {
		if ((child = clone_in_pid_namespace()) == 0) {
			if (pid_namespace() != *first) _exit(2);
			EXPECT(send_text(lowest, 8, "from a stranger"), 0);
			_exit(0);
		}
		CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
		if (WEXITSTATUS(status) == 2) continue;
		EXPECT(WEXITSTATUS(status), 0);
		EXPECT(recv_message(lowest, &recv), 0);
		EXPECT(recv.msg.pid, 0);
		EXPECT(recv.msg.tid, 0);
		return;
	}
}

static void ids_change_between_messages(void)
{
	int a = peer_open();
	struct bus1_cmd_recv recv;
	static const uid_t ids[] = { 1, 1000, 0, 65533 };
	for (int i = 0; i < 4; i++) {
		CHECK(setegid(ids[i] + 1) == 0 && seteuid(ids[i]) == 0);
		EXPECT(send_text(a, 8, "x"), 0);
		CHECK(seteuid(0) == 0);
		EXPECT(recv_message(a, &recv), 0);
		EXPECT(recv.msg.uid, ids[i]);
		EXPECT(recv.msg.gid, ids[i] + 1);
	}
}

static void callers_change_faster_than_any_cache(void)
{
	int a = peer_open();
	struct bus1_cmd_recv recv;
	for (int i = 0; i < 300; i++) {
		pid_t child = fork();
		if (child == 0) _exit(send_text(a, 8, "x") ? 1 : 0);
		join(child);
		EXPECT(recv_message(a, &recv), 0);
		EXPECT(recv.msg.pid, child);
		EXPECT(slice_release(a, recv.msg.offset), 0);
	}
}

static void another_users_share_is_bounded(void)
{
	int a = peer_open();
	pid_t child;
	EXPECT(reset(a, RESET(.max_inflight_bytes = 800)), 0);
	if ((child = fork()) == 0) {
		CHECK(setresuid(4321, 4321, 4321) == 0);
		/* half of what is left, counting what it holds: 400 of 800 */
		int own = peer_open();
		__u64 handle = give(a, 8, own);
		for (int i = 0; i < 4; i++)
			EXPECT(send_message(own, &(struct message){
							 .destinations = &handle,
							 .n_destinations = 1,
							 .payload = &(char[100]){ 0 },
							 .size = 96,
						 }),
			       0);
		EXPECT(send_message(own, &(struct message){
						 .destinations = &handle,
						 .n_destinations = 1,
						 .payload = &(char[100]){ 0 },
						 .size = 96,
					 }),
		       -EDQUOT);
		_exit(0);
	}
	join(child);
}

static void many_peers(void)
{
	enum { N = 5000 };
	static int peers[N];
	static __u64 handles[N];
	struct rlimit limit = { N + 100, N + 100 };
	struct bus1_cmd_recv recv;
	int a = peer_open();
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	for (int i = 0; i < N; i++) handles[i] = give(peers[i] = peer_open(), 8, a);
	EXPECT(send_message(a, &(struct message){ .destinations = handles, .n_destinations = N, .payload = "everybody", .size = 9 }), 0);
	for (int i = 0; i < N; i++) {
		EXPECT(recv_message(peers[i], &recv), 0);
		EXPECT(recv.msg.n_bytes, 9);
	}
	EXPECT(memcmp(pool(peers[N - 1]) + recv.msg.offset, "everybody", 9), 0);
	for (int i = 0; i < N; i++) close(peers[i]);
	for (int i = 0; i < N; i++) {
		EXPECT(recv_message(a, &recv), 0);
		EXPECT(recv.msg.type, BUS1_MSG_NODE_DESTROY);
	}
	CHECK(nothing(a));
}

static void a_client_that_scribbles_hurts_itself_only(void)
{
	int a = peer_open(), b = peer_open();
	struct bus1_cmd_recv recv;
	uint8_t *map = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, b, 0);
	__u64 handle = give(b, 8, a);
	EXPECT(send_text(a, handle, "first"), 0);
	EXPECT(send_handles(a, handle, ARRAY(8)), 0);
	if (map != MAP_FAILED) memset(map, 0xff, 1 << 20);
	EXPECT(result(ftruncate(b, 4096)), -EINVAL);
	EXPECT(recv_message(b, &recv), 0);
	EXPECT(recv.msg.n_bytes, 5);
	EXPECT(recv_message(b, &recv), 0);
	EXPECT(handle_at(b, &recv, 0), 1 << 3 | 3);
	EXPECT(send_text(a, handle, "third"), 0);
	EXPECT_TEXT(b, 8, "third");
}

static void a_payload_from_a_pool(void)
{
	int a = peer_open(), b = peer_open();
	__u64 handle = give(b, 8, a), own = 16;
	struct bus1_cmd_recv recv;
	const uint8_t *map = pool(a);
	EXPECT(send_text(a, own, "forwarded"), 0);
	EXPECT(recv_message(a, &recv), 0);
	EXPECT(send_message(a, &(struct message){
				       .destinations = &handle,
				       .n_destinations = 1,
				       .payload = map + recv.msg.offset,
				       .size = 9,
			       }),
	       0);
	EXPECT_TEXT(b, 8, "forwarded");
}

static void bad_pointers_everywhere(void)
{
	static const uintptr_t pointers[] = { 1, 0x1000, 0x7fffffffeff8, 0x7ffffffff000, 0x800000000000, 0xffff888000000000, -8, -1 };
	int a = peer_open(), b = peer_open();
	__u64 handle = give(b, 8, a);
	char byte = 'x';
	for (size_t i = 0; i < sizeof pointers / sizeof *pointers; i++) {
		__u64 bad = pointers[i];
		struct iovec vec = { (void *)bad, 64 };
		for (int field = 0; field < 5; field++) {
			struct bus1_cmd_send send = { .ptr_destinations = (uintptr_t)&handle, .n_destinations = 1 };
			if (field == 0) send.ptr_destinations = bad;
			if (field == 1) send.ptr_vecs = bad, send.n_vecs = 1;
			if (field == 2) send.ptr_handles = bad, send.n_handles = 1;
			if (field == 3) send.ptr_fds = bad, send.n_fds = 1;
			if (field == 4) send.ptr_vecs = (uintptr_t)&vec, send.n_vecs = 1;
			EXPECT(command(a, BUS1_CMD_SEND, &send), -EFAULT);
		}
		static const unsigned long numbers[] = { BUS1_CMD_PEER_DISCONNECT, BUS1_CMD_PEER_QUERY, BUS1_CMD_PEER_RESET,
							 BUS1_CMD_HANDLE_RELEASE, BUS1_CMD_HANDLE_TRANSFER, BUS1_CMD_NODES_DESTROY,
							 BUS1_CMD_SLICE_RELEASE, BUS1_CMD_SEND, BUS1_CMD_RECV };
		for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++) EXPECT(command(a, numbers[n], (void *)bad), -EFAULT);
	}
	CHECK(byte == 'x' && nothing(b) && nothing(a));
}

static void an_array_that_ends_in_the_middle(void)
{
	int a = peer_open(), b = peer_open();
	uint8_t *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(page != MAP_FAILED && munmap(page + 4096, 4096) == 0);
	__u64 *last = (__u64 *)(page + 4096) - 1;
	*last = give(b, 8, a);
	struct bus1_cmd_send send = { .ptr_destinations = (uintptr_t)last, .n_destinations = 2 };
	EXPECT(command(a, BUS1_CMD_SEND, &send), -EFAULT);
	/* an error of the destination before the unreadable one comes first */
	*last = UNKNOWN_ID;
	EXPECT(command(a, BUS1_CMD_SEND, &send), -ENXIO);
	/* and likewise for handles and descriptors */
	send = (struct bus1_cmd_send){ .ptr_handles = (uintptr_t)last, .n_handles = 2 };
	EXPECT(command(a, BUS1_CMD_SEND, &send), -ENXIO);
	*last = 8;
	EXPECT(command(a, BUS1_CMD_SEND, &send), -EFAULT);
	int *last_fd = (int *)(page + 4096) - 1;
	send = (struct bus1_cmd_send){ .ptr_fds = (uintptr_t)last_fd, .n_fds = 2 };
	*last_fd = -1;
	EXPECT(command(a, BUS1_CMD_SEND, &send), -EBADF);
	*last_fd = open("/dev/null", O_RDONLY);
	EXPECT(command(a, BUS1_CMD_SEND, &send), -EFAULT);
	struct iovec vec = { page + 4000, 97 };
	*last = give(b, 8, a);
	send = (struct bus1_cmd_send){ .ptr_destinations = (uintptr_t)last, .n_destinations = 1, .ptr_vecs = (uintptr_t)&vec, .n_vecs = 1 };
	EXPECT(command(a, BUS1_CMD_SEND, &send), -EFAULT);
	CHECK(nothing(b));
}

static void *release_and_unmap(void *argument)
{
	for (int i = 0; i < 2000; i++) {
		void *map = mmap(argument, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		CHECK(map == argument);
		munmap(map, 1 << 16);
	}
	return NULL;
}

static void memory_that_vanishes_while_it_is_read(void)
{
	int a = peer_open(), b = peer_open(), sent = 0, r;
	__u64 handle = give(b, 8, a);
	void *place = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t thread;
	struct bus1_cmd_recv recv;
	CHECK(pthread_create(&thread, NULL, release_and_unmap, place) == 0);
	for (int i = 0; i < 500; i++) {
		r = send_message(a, &(struct message){ .destinations = &handle, .n_destinations = 1, .payload = place, .size = 1 << 16 });
		CHECK(r == 0 || r == -EFAULT);
		if (r == 0) {
			EXPECT(recv_message(b, &recv), 0);
			EXPECT(slice_release(b, recv.msg.offset), 0);
			sent++;
		}
	}
	pthread_join(thread, NULL);
	CHECK(nothing(b));
}

static void killed_at_any_moment(void)
{
	int a = peer_open();
	struct bus1_cmd_recv recv;
	for (int i = 0; i < 200; i++) {
		pid_t child = fork();
		if (child == 0) {
			int own = peer_open();
			__u64 handle = give(own, 8, a), back = give(a, 8, own);
			for (;;) {
				send_text(a, handle, "to the doomed");
				send_handles(own, back, &back, 1);
				recv_message(own, &recv);
				slice_release(own, recv.msg.offset);
			}
		}
		usleep(rand() % 2000);
		kill(child, SIGKILL);
		CHECK(waitpid(child, NULL, 0) == child);
	}
	EXPECT(flush(a), 0);
	EXPECT(send_text(a, 8, "alive"), 0);
	EXPECT_TEXT(a, 8, "alive");
}

MAIN(CASE(dup_and_fork_share_a_peer), CASE(a_passed_descriptor_shares_the_peer), CASE(exit_of_a_process_closes_its_peers),
     CASE(credentials_are_those_of_the_sending_thread), CASE(an_invisible_sender_is_0), CASE(a_namespace_of_the_same_number_is_another_one),
     CASE(ids_change_between_messages), CASE(callers_change_faster_than_any_cache),
     CASE(another_users_share_is_bounded), CASE(many_peers), CASE(a_client_that_scribbles_hurts_itself_only), CASE(a_payload_from_a_pool), CASE(bad_pointers_everywhere),
     CASE(an_array_that_ends_in_the_middle), CASE(memory_that_vanishes_while_it_is_read), CASE(killed_at_any_moment))
