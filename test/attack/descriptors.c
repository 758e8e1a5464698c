/* Descriptors in messages that are hard to take, to give or to close. */
#include "attack.h"
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <sys/eventfd.h>

/* Of one message. */
#define MAX_FILES 253

/* A service of the victim, and an attacker that can send to it. */
static int service, peer;
static __u64 handle;

static void connect_to_service(void)
{
	service = peer_of(VICTIM);
	peer = peer_of(ATTACKER);
	handle = give(service, 8, peer);
}

static void *send_and_receive(void *file)
{
	int fd = peer_open();
	EXPECT(send_file(fd, 8, (uintptr_t)file), 0);
	CHECK(receive_file(fd) >= 0);
	return file;
}

static void join_soon(pthread_t thread)
{
	struct timespec end;
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 3;
	CHECK(pthread_timedjoin_np(thread, NULL, &end) == 0);
}

/* A file that cannot be closed is received like any other. */
static void a_flush_that_never_ends(void)
{
	pid_t server = files_of(ATTACKER, ",allow_other");
	become(ATTACKER);
	int file = own_open("a", O_RDONLY);
	own->flush = NEVER;
	for (int i = 0; i < 3; i++) {
		pthread_t thread;
		CHECK(pthread_create(&thread, NULL, send_and_receive, (void *)(uintptr_t)file) == 0);
		join_soon(thread);
	}
	end_server(server);
}

/* Nor does it harm a service that receives it, and does not close it either. */
static void an_innocent_receiver(void)
{
	volatile int *received = shared_count();
	connect_to_service();
	pid_t server = files_of(ATTACKER, ",allow_other"), receiver = fork();
	if (receiver == 0) {
		become(VICTIM);
		for (;; *received += 1) {
			await_message(service);
			CHECK(receive_file(service) >= 0);
		}
	}
	if (fork() == 0) {
		become(ATTACKER);
		int file = own_open("a", O_RDONLY);
		own->flush = NEVER;
		for (int i = 0; i < 4; i++) EXPECT(send_file(peer, handle, file), 0);
		pause();
	}
	for (int ms = 0; ms < 3000 && *received < 4; ms++) {
		expect_running(receiver, "a receiver");
		sleep_ms(1);
	}
	EXPECT(*received, 4);
	end_server(server);
}

/* A data base keeps its locks when somebody sends it one of its files. */
static void record_locks(void)
{
	char path[] = "/tmp/bus1fs-attack-XXXXXX";
	struct flock lock = { .l_type = F_WRLCK };
	become(ATTACKER);
	int fd = mkostemp(path, O_CLOEXEC), own_peer = peer_open();
	CHECK(fd >= 0);
	int again = open(path, O_RDONLY | O_CLOEXEC);
	unlink(path);
	for (int i = 0; i < 20; i++) {
		lock.l_type = F_WRLCK;
		CHECK(fcntl(fd, F_SETLK, &lock) == 0);
		int files[] = { again, fd, again };
		EXPECT(send_files(own_peer, 8, files, 1 + i % 3), 0);
		CHECK(receive_file(own_peer) >= 0);
		pid_t child = fork();
		if (child == 0) {
			CHECK(fcntl(fd, F_GETLK, &lock) == 0);
			EXPECT(lock.l_type, F_WRLCK);
			_exit(0);
		}
		join(child);
	}
}

/* A file of a mount that nobody but its user may look into, as most user's mounts are, can be sent like any other. */
static void a_file_of_a_private_mount(void)
{
	pid_t server = files_of(ATTACKER, "");
	become(ATTACKER);
	char byte = 1;
	int file = own_open("a", O_RDONLY), fd = peer_open();
	EXPECT(send_file(fd, 8, file), 0);
	int received = receive_file(fd);
	CHECK(received >= 0 && pread(received, &byte, 1, 0) == 1 && byte == 0);
	end_server(server);
}

/* A pipe that somebody else sends and nobody receives is closed at once, whatever else there is to be closed. */
static void expect_prompt_close(void)
{
	int ends[2], fd = peer_of(OTHER);
	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	EXPECT(send_file(fd, 8, ends[1]), 0);
	close(ends[1]);
	close(fd);
	struct pollfd pollfd = { ends[0], POLLIN, 0 };
	EXPECT(poll(&pollfd, 1, 3000), 1);
	close(ends[0]);
}

/* A connection to a listener that takes nothing. */
static int tcp_connection(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(listener, (void *)&address, size) == 0 && listen(listener, 1) == 0);
	CHECK(getsockname(listener, (void *)&address, &size) == 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(connect(fd, (void *)&address, size) == 0);
	return fd;
}

/* One whose close waits for the other side to take what was sent. */
static int lingering_socket(void)
{
	static char bytes[1 << 20];
	int fd = tcp_connection();
	CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 60 }, sizeof(struct linger)) == 0);
	while (send(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0) continue;
	return fd;
}

static void sockets_that_linger(void)
{
	volatile int *done = shared_count();
	pid_t child = fork();
	if (child == 0) {
		become(ATTACKER);
		int fd = peer_open(), files[20];
		struct bus1_cmd_recv recv;
		for (int i = 0; i < 20; i++) files[i] = lingering_socket();
		EXPECT(send_files(fd, 8, files, 20), 0);
		for (int i = 0; i < 20; i++) close(files[i]);
		EXPECT(recv_message(fd, &recv), 0);
		*done = 1;
		pause();
	}
	await_count(done, 1, 3000);
	EXPECT(*done, 1);
	for (int i = 0; i < 5; i++) expect_prompt_close();
	kill(child, SIGKILL);
}

/* More files that cannot be closed than the daemon may be left with. */
static void more_files_than_can_be_closed(void)
{
	volatile int *done = shared_count();
	pid_t server = files_of(ATTACKER, ",allow_other"), child = fork();
	if (child == 0) {
		become(ATTACKER);
		int fd = peer_open(), files[MAX_FILES];
		struct bus1_cmd_recv recv;
		for (int i = 0; i < MAX_FILES; i++) files[i] = own_open("a", O_RDONLY);
		own->flush = NEVER;
		for (int i = 0; i < 300; i++) {
			if (send_files(fd, 8, files, MAX_FILES) == 0) EXPECT(recv_message(fd, &recv), 0);
		}
		*done = 1;
		pause();
	}
	await_count(done, 1, ATTACK_MS);
	for (int i = 0; i < 5; i++) expect_prompt_close();
	end_server(server);
}

/* An io_uring can hold the very peer whose message it is in, and cannot be given to a receiver. */
static void rings(void)
{
	struct io_uring_params parameters = { 0 };
	connect_to_service();
	int ring = syscall(SYS_io_uring_setup, 2, &parameters);
	if (ring < 0) return; /* not in this kernel, or not for us */
	become(ATTACKER);
	int fd = peer_open();
	CHECK(syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, &fd, 1) == 0);
	EXPECT(send_file(fd, 8, ring), -EOPNOTSUPP);
	EXPECT(send_files(peer, handle, (int[]){ 0, ring }, 2), -EOPNOTSUPP);
	EXPECT(send_text(peer, handle, "another"), 0);
	EXPECT_TEXT(service, 8, "another");
}

/* Processes end though what their memory waits for is in a message of their own. */
static void a_file_server_in_a_message(void)
{
	become(ATTACKER);
	int fuse = own_device(), fd = peer_open();
	EXPECT(send_file(fd, 8, fuse), -EOPNOTSUPP);
}

static int tcp;
static int base;
static char *slow;

static void *hold_the_socket(void *unused)
{
	if (write(tcp, slow, 4096) < 0) return unused;
	return unused;
}

static void *take_numbers(void *unused)
{
	for (;;) {
		for (int i = 0; i < 6; i++) {
			dup2(tcp, base + i);
			for (volatile int wait = 0; wait < 200; wait++) continue;
			close(base + i);
		}
	}
	return unused;
}

static void *receive_again_and_again(void *peer)
{
	int fd = (uintptr_t)peer;
	for (;;) {
		struct bus1_cmd_recv recv;
		if (send_nothing(fd)) continue;
		if (recv_flags(fd, &recv, BUS1_RECV_FLAG_INSTALL_FDS)) recv_message(fd, &recv);
		slice_release(fd, recv.msg.offset);
	}
	return NULL;
}

/* Descriptors are installed by way of a socket in the receiver; its number may come to stand for one whose lock is held. */
static void a_socket_that_is_locked(void)
{
	pid_t server = files_of(ATTACKER, "");
	become(ATTACKER);
	own->read = NEVER;
	slow = own_memory("a", 65536);
	tcp = tcp_connection();
	int fd = peer_open();
	EXPECT(send_nothing(fd), 0);
	base = dup(fd);
	close(base);
	start(hold_the_socket, NULL);
	while (own->reads == 0) sleep_ms(1);
	start(receive_again_and_again, (void *)(uintptr_t)fd);
	start(take_numbers, NULL);
	sleep_ms(ATTACK_MS);
	end_server(server);
}

static void *receive_too_much(void *file)
{
	struct bus1_cmd_recv recv;
	for (int fd = (uintptr_t)file; recv_flags(fd, &recv, BUS1_RECV_FLAG_INSTALL_FDS) == -EMFILE;) continue;
	return NULL;
}

/* A process with as many descriptors as it may have, in which there is no room. */
static void a_crowded_table(void)
{
	struct rlimit limit;
	become(ATTACKER);
	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = limit.rlim_max;
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	int peers[16];
	for (int i = 0; i < 16; i++) {
		peers[i] = peer_open();
		EXPECT(send_nothing(peers[i]), 0);
	}
	while (dup(0) >= 0) continue;
	for (int i = 0; i < 16; i++) start(receive_too_much, (void *)(uintptr_t)peers[i]);
	sleep_ms(ATTACK_MS);
}

/* RECV with this stack pointer. */
static long receive_with_stack(int fd, struct bus1_cmd_recv *recv, void *stack)
{
	long r;
	memset(recv, 0, sizeof *recv);
	recv->flags = BUS1_RECV_FLAG_INSTALL_FDS;
	recv->max_offset = -1;
	asm volatile("mov %%rsp, %%rbx\n\tmov %[stack], %%rsp\n\tsyscall\n\tmov %%rbx, %%rsp"
		     : "=a"(r)
		     : "a"(SYS_ioctl), "D"(fd), "S"(BUS1_CMD_RECV), "d"(recv), [stack] "r"(stack)
		     : "rbx", "rcx", "r11", "memory");
	return r;
}

static char *stack;

static void *receive_there(void *fd)
{
	struct bus1_cmd_recv recv;
	receive_with_stack((uintptr_t)fd, &recv, stack);
	return NULL;
}

static void a_stack_that_never_comes(void)
{
	pid_t server = files_of(ATTACKER, "");
	become(ATTACKER);
	own->read = NEVER;
	stack = own_memory("a", 1 << 20) + (1 << 19);
	int fd = peer_open();
	EXPECT(send_nothing(fd), 0);
	start(receive_there, (void *)(uintptr_t)fd);
	sleep_ms(ATTACK_MS);
	end_server(server);
}

static volatile bool is_locked;

static void *read_own_memory(void *at)
{
	char byte;
	int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	if (pread(fd, &byte, 1, (uintptr_t)at) < 0) return NULL;
	return NULL;
}

static void *map_something(void *unused)
{
	while (own->reads == 0) sleep_ms(1);
	sleep_ms(50);
	is_locked = true;
	mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return unused;
}

static void *receive_then(void *fd)
{
	struct bus1_cmd_recv recv;
	while (!is_locked) sleep_ms(1);
	sleep_ms(50);
	recv_flags((uintptr_t)fd, &recv, BUS1_RECV_FLAG_INSTALL_FDS);
	return NULL;
}

/* A receiver whose address space is locked for ever. */
static void a_receiver_behind_a_lock(void)
{
	become(ATTACKER);
	pid_t server = own_files();
	own->read = NEVER;
	int fd = peer_open();
	EXPECT(send_nothing(fd), 0);
	start(receive_then, (void *)(uintptr_t)fd);
	start(map_something, NULL);
	start(read_own_memory, own_memory("a", 4096));
	sleep_ms(ATTACK_MS);
	end_server(server);
}

static volatile unsigned short *instruction;
static volatile int lowest;

/* Once the first call has been made in its place, there is no system call instruction any more. */
static void *rewrite(void *unused)
{
	for (;;) {
		while (fcntl(lowest, F_GETFD) < 0) continue;
		*instruction = 0x0b0f; /* ud2 */
		sleep_ms(200);
	}
	return unused;
}

/* It is made to make system calls by its own instruction, which it replaces by another one meanwhile. */
static void a_receiver_that_rewrites_itself(void)
{
	/* mov eax, edi; mov rdi, rsi; mov rsi, rdx; mov rdx, rcx; syscall; ret */
	static const unsigned char code[] = { 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x48, 0x89, 0xd6, 0x48, 0x89, 0xca, 0x0f, 0x05, 0xc3 };
	become(ATTACKER);
	unsigned char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(page != MAP_FAILED);
	memcpy(page, code, sizeof code);
	instruction = (void *)(page + 11);
	for (long long end = own_clock() + ATTACK_MS; own_clock() < end;) {
		pid_t child = fork();
		if (child > 0) {
			waitpid(child, NULL, 0); /* it ends by SIGILL */
			continue;
		}
		int fd = peer_open();
		EXPECT(send_nothing(fd), 0);
		lowest = dup(fd);
		close(lowest);
		start(rewrite, NULL);
		struct bus1_cmd_recv recv = { .flags = BUS1_RECV_FLAG_INSTALL_FDS, .max_offset = -1 };
		((long (*)(int, long, long, long))(void *)page)(SYS_ioctl, fd, BUS1_CMD_RECV, (long)&recv);
		_exit(0);
	}
}

MAIN(CASE(a_flush_that_never_ends), CASE(an_innocent_receiver), CASE(record_locks), CASE(a_file_of_a_private_mount),
     CASE(sockets_that_linger), CASE(more_files_than_can_be_closed), CASE(rings), CASE(a_file_server_in_a_message),
     CASE(a_socket_that_is_locked), CASE(a_crowded_table), CASE(a_stack_that_never_comes), CASE(a_receiver_behind_a_lock),
     CASE(a_receiver_that_rewrites_itself))
