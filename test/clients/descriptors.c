/* Descriptors that cross the bus: taken at SEND, installed at RECV. Contract sections 6 and 7. */
#include "bus1-test.h"
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

static int send_fds(int peer, __u64 destination, const int *fds, size_t n)
{
	struct bus1_cmd_send send = {
		.ptr_destinations = (uintptr_t)&destination,
		.n_destinations = 1,
		.ptr_fds = (uintptr_t)fds,
		.n_fds = n,
	};
	return command(peer, BUS1_CMD_SEND, &send);
}

static int fd_at(int peer, const struct bus1_cmd_recv *recv, size_t i)
{
	const uint8_t *map = pool(peer);
	int fd;
	memcpy(&fd, map + recv->msg.offset + (recv->msg.n_bytes + 7) / 8 * 8 + recv->msg.n_handles * 8 + i * 4, 4);
	munmap((void *)map, POOL_SIZE);
	return fd;
}

/* A readable descriptor that says who it is. */
static int marked(int mark)
{
	int ends[2];
	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	CHECK(write(ends[1], &mark, sizeof mark) == sizeof mark);
	close(ends[1]);
	return ends[0];
}

static int mark_of(int fd)
{
	int mark = -1;
	CHECK(read(fd, &mark, sizeof mark) == sizeof mark);
	return mark;
}

static int open_fds(void)
{
	int count = 0;
	DIR *directory = opendir("/proc/self/fd");
	while (readdir(directory)) count++;
	closedir(directory);
	return count;
}

static int installing(int peer, struct bus1_cmd_recv *recv)
{
	return recv_flags(peer, recv, BUS1_RECV_FLAG_INSTALL_FDS);
}

static void installed_at_the_lowest_free_numbers(void)
{
	int a = peer_open(), fds[5], lowest[5];
	struct bus1_cmd_recv recv;
	for (int n = 1; n <= 5; n++) {
		for (int i = 0; i < n; i++) fds[i] = marked(100 + i);
		EXPECT(send_fds(a, 8, fds, n), 0);
		for (int i = 0; i < n; i++) close(fds[i]);
		for (int i = 0; i < n; i++) lowest[i] = dup(0);
		for (int i = 0; i < n; i++) close(lowest[i]);
		EXPECT(installing(a, &recv), 0);
		EXPECT(recv.msg.n_fds, n);
		for (int i = 0; i < n; i++) {
			EXPECT(fd_at(a, &recv, i), lowest[i]);
			EXPECT(fcntl(lowest[i], F_GETFD), FD_CLOEXEC);
			EXPECT(mark_of(lowest[i]), 100 + i);
			close(lowest[i]);
		}
		EXPECT(slice_release(a, recv.msg.offset), 0);
	}
}

static void gaps_in_the_table_are_filled(void)
{
	int a = peer_open(), fds[3] = { marked(1), marked(2), marked(3) }, filler[20];
	struct bus1_cmd_recv recv;
	for (int i = 0; i < 20; i++) filler[i] = dup(0);
	EXPECT(send_fds(a, 8, fds, 3), 0);
	close(filler[3]), close(filler[7]), close(filler[15]);
	EXPECT(installing(a, &recv), 0);
	EXPECT(fd_at(a, &recv, 0), filler[3]);
	EXPECT(fd_at(a, &recv, 1), filler[7]);
	EXPECT(fd_at(a, &recv, 2), filler[15]);
	EXPECT(mark_of(filler[7]), 2);
}

static void as_many_as_there_may_be(void)
{
	int a = peer_open(), b = peer_open(), fds[257];
	struct bus1_cmd_recv recv;
	__u64 handle = give(b, 8, a);
	for (int i = 0; i < 256; i++) fds[i] = marked(i);
	EXPECT(send_fds(a, handle, fds, 256), 0);
	EXPECT(send_fds(a, handle, fds, 257), -EMSGSIZE);
	int before = open_fds();
	EXPECT(installing(b, &recv), 0);
	EXPECT(open_fds(), before + 256);
	for (int i = 0; i < 256; i++) EXPECT(mark_of(fd_at(b, &recv, i)), i);
}

static void together_with_payload_and_handles(void)
{
	int a = peer_open(), b = peer_open(), fd = marked(7);
	__u64 handle = give(b, 8, a), own = 8;
	struct iovec vec = { "13 bytes long", 13 };
	struct bus1_cmd_send send = {
		.ptr_destinations = (uintptr_t)&handle,
		.n_destinations = 1,
		.ptr_vecs = (uintptr_t)&vec,
		.n_vecs = 1,
		.ptr_handles = (uintptr_t)&own,
		.n_handles = 1,
		.ptr_fds = (uintptr_t)&fd,
		.n_fds = 1,
	};
	struct bus1_cmd_recv recv;
	EXPECT(command(a, BUS1_CMD_SEND, &send), 0);
	EXPECT(installing(b, &recv), 0);
	EXPECT(memcmp(pool(b) + recv.msg.offset, "13 bytes long", 13), 0);
	EXPECT(handle_at(b, &recv, 0), 1 << 3 | 3);
	EXPECT(mark_of(fd_at(b, &recv, 0)), 7);
	EXPECT(recv.msg.destination, 8);
	EXPECT(recv.msg.pid, getpid());
}

static void errors_of_send(void)
{
	int a = peer_open(), sockets[2], closed = dup(0), bad[] = { marked(0), -1 };
	struct bus1_cmd_send send = { .ptr_fds = BAD_POINTER, .n_fds = 1 };
	struct bus1_cmd_recv recv;
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
	close(closed);
	EXPECT(command(a, BUS1_CMD_SEND, &send), -EFAULT);
	EXPECT(send_fds(a, 8, bad, 2), -EBADF);
	EXPECT(send_fds(a, 8, &closed, 1), -EBADF);
	EXPECT(send_fds(a, 8, &a, 1), -EOPNOTSUPP);
	EXPECT(send_fds(a, 8, sockets, 1), -EOPNOTSUPP);
	EXPECT(send_fds(a, UNKNOWN_ID, &a, 1), -EOPNOTSUPP);
	CHECK(nothing(a));
	int allowed[] = { socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), open("/", O_PATH | O_CLOEXEC), open(device, O_PATH | O_CLOEXEC),
			  open("/dev/null", O_RDWR | O_CLOEXEC), memfd_create("m", MFD_CLOEXEC) };
	EXPECT(send_fds(a, 8, allowed, 5), 0);
	EXPECT(installing(a, &recv), 0);
	for (int i = 0; i < 5; i++) {
		struct stat before, after;
		CHECK(fstat(allowed[i], &before) == 0 && fstat(fd_at(a, &recv, i), &after) == 0);
		CHECK(before.st_dev == after.st_dev && before.st_ino == after.st_ino);
	}
	CHECK(fcntl(fd_at(a, &recv, 1), F_GETFL) & O_PATH);
}

static void without_the_flag_they_are_dropped(void)
{
	int a = peer_open(), ends[2];
	struct bus1_cmd_recv recv;
	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	EXPECT(send_fds(a, 8, &ends[0], 1), 0);
	close(ends[0]);
	CHECK(write(ends[1], "x", 1) == 1);
	int before = open_fds();
	EXPECT(recv_message(a, &recv), 0);
	EXPECT(recv.msg.n_fds, 1);
	EXPECT(open_fds(), before);
	/* the last reader is gone, once the daemon has closed its copy */
	struct pollfd p = { ends[1], 0, 0 };
	EXPECT(poll(&p, 1, AWAIT_MS), 1);
	EXPECT(p.revents, POLLERR);
}

static void flush_and_close_drop_them(void)
{
	for (int how = 0; how < 3; how++) {
		int a = peer_open(), ends[2];
		CHECK(pipe2(ends, O_CLOEXEC) == 0);
		EXPECT(send_fds(a, 8, &ends[0], 1), 0);
		close(ends[0]);
		struct pollfd p = { ends[1], 0, 0 };
		EXPECT(poll(&p, 1, 0), 0);
		if (how == 0) EXPECT(flush(a), 0);
		if (how == 1) EXPECT(disconnect(a), 0);
		close(a);
		EXPECT(poll(&p, 1, AWAIT_MS), 1);
		EXPECT(p.revents, POLLERR);
	}
}

static void peek_installs_each_time(void)
{
	int a = peer_open(), fd = marked(5);
	struct bus1_cmd_recv recv;
	EXPECT(send_fds(a, 8, &fd, 1), 0);
	close(fd);
	int before = open_fds();
	for (int i = 1; i <= 3; i++) {
		EXPECT(recv_flags(a, &recv, BUS1_RECV_FLAG_PEEK | BUS1_RECV_FLAG_INSTALL_FDS), 0);
		EXPECT(recv.msg.n_fds, 1);
		EXPECT(open_fds(), before + i);
	}
	EXPECT(installing(a, &recv), 0);
	EXPECT(mark_of(fd_at(a, &recv, 0)), 5);
	CHECK(nothing(a));
}

static void a_multicast_and_a_seed_carry_them(void)
{
	int a = peer_open(), b = peer_open(), c = peer_open(), ends[2];
	__u64 handles[] = { give(b, 8, a), give(c, 8, a) };
	struct bus1_cmd_recv recv;
	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	struct bus1_cmd_send send = { .ptr_destinations = (uintptr_t)handles, .n_destinations = 2, .ptr_fds = (uintptr_t)ends, .n_fds = 1 };
	EXPECT(command(a, BUS1_CMD_SEND, &send), 0);
	send = (struct bus1_cmd_send){ .flags = BUS1_SEND_FLAG_SEED, .ptr_fds = (uintptr_t)ends, .n_fds = 1 };
	EXPECT(command(a, BUS1_CMD_SEND, &send), 0);
	close(ends[0]);
	EXPECT(installing(b, &recv), 0);
	EXPECT(installing(c, &recv), 0);
	EXPECT(recv_flags(a, &recv, BUS1_RECV_FLAG_SEED | BUS1_RECV_FLAG_INSTALL_FDS), 0);
	EXPECT(recv.msg.n_fds, 1);
	CHECK(write(ends[1], "x", 1) == 1);
}

static void a_table_that_is_almost_full(void)
{
	int a = peer_open(), fds[3] = { marked(1), marked(2), marked(3) }, ends[2];
	struct bus1_cmd_recv recv;
	struct rlimit old, limit;
	const uint8_t *map = pool(a);
	CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0 && pipe2(ends, O_CLOEXEC) == 0);
	close(ends[0]), close(ends[1]);
	int lowest = dup(0);
	close(lowest);
	EXPECT(send_fds(a, 8, fds, 3), 0);
	for (int room = 0; room < 3; room++) {
		limit = (struct rlimit){ lowest + room, old.rlim_max };
		CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
		memset(&recv, 0xa5, sizeof recv);
		recv.flags = BUS1_RECV_FLAG_INSTALL_FDS, recv.max_offset = -1;
		EXPECT(command(a, BUS1_CMD_RECV, &recv), -EMFILE);
		EXPECT(recv.msg.type, 0xa5a5a5a5a5a5a5a5);
		EXPECT(poll_now(a), READABLE);
		struct rlimit now;
		CHECK(getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_cur == limit.rlim_cur && now.rlim_max == limit.rlim_max);
		for (int i = 0; i < 5; i++) CHECK(fcntl(lowest + i, F_GETFD) < 0);
	}
	/* exactly enough is enough, also for somebody without privileges */
	CHECK(setresuid(4321, 4321, 4321) == 0);
	limit = (struct rlimit){ lowest + 3, old.rlim_max };
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	EXPECT(installing(a, &recv), 0);
	int last;
	memcpy(&last, map + recv.msg.offset + 8, 4);
	EXPECT(last, lowest + 2);
	EXPECT(mark_of(last), 3);
	struct rlimit now;
	CHECK(getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_cur == limit.rlim_cur && now.rlim_max == limit.rlim_max);
	CHECK(dup(0) < 0);
	for (int i = 0; i < 3; i++) EXPECT(fcntl(lowest + i, F_GETFD), FD_CLOEXEC);
}

static void max_offset_and_quota_come_first(void)
{
	int a = peer_open(), b = peer_open(), fds[2] = { marked(1), marked(2) };
	__u64 handle = give(b, 8, a);
	struct bus1_cmd_recv recv = { .flags = BUS1_RECV_FLAG_INSTALL_FDS, .max_offset = 7 };
	EXPECT(reset(b, RESET(.max_inflight_fds = 1)), 0);
	EXPECT(send_fds(a, handle, fds, 2), -EDQUOT);
	EXPECT(send_fds(a, handle, fds, 1), 0);
	EXPECT(send_fds(a, handle, fds, 1), -EDQUOT);
	int before = open_fds();
	EXPECT(command(b, BUS1_CMD_RECV, &recv), -ERANGE);
	EXPECT(open_fds(), before);
	EXPECT(recv_message(b, &recv), 0);
	EXPECT(send_fds(a, handle, fds, 1), 0);
}

static void a_traced_process_gets_eperm(void)
{
	int a = peer_open(), fd = marked(9);
	struct bus1_cmd_recv recv;
	EXPECT(send_fds(a, 8, &fd, 1), 0);
	pid_t child = fork();
	if (child == 0) {
		CHECK(ptrace(PTRACE_TRACEME, 0, 0, 0) == 0);
		raise(SIGSTOP);
		EXPECT(installing(a, &recv), -EPERM);
		EXPECT(poll_now(a), READABLE);
		_exit(0);
	}
	int status;
	CHECK(waitpid(child, &status, 0) == child && WIFSTOPPED(status));
	CHECK(ptrace(PTRACE_CONT, child, 0, 0) == 0);
	join(child);
	EXPECT(installing(a, &recv), 0);
	EXPECT(mark_of(fd_at(a, &recv, 0)), 9);
}

static volatile sig_atomic_t ticks;

static void tick(int signal)
{
	(void)signal;
	ticks++;
}

static int busy_peer;
static volatile bool stop_threads;

static void *open_and_close(void *unused)
{
	while (!stop_threads) close(dup(0));
	return unused;
}

/* Signal handlers run, timers fire and other threads work on the descriptor table meanwhile. */
static void in_a_busy_process(void)
{
	int a = peer_open(), fd = marked(3);
	struct sigaction action = { .sa_handler = tick };
	struct itimerval timer = { { 0, 100 }, { 0, 100 } };
	struct bus1_cmd_recv recv;
	pthread_t threads[3];
	sigset_t blocked, now;
	CHECK(sigaction(SIGALRM, &action, NULL) == 0 && sigaction(SIGTRAP, &action, NULL) == 0);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	CHECK(pthread_sigmask(SIG_BLOCK, &blocked, NULL) == 0);
	for (int i = 0; i < 3; i++) CHECK(pthread_create(&threads[i], NULL, open_and_close, NULL) == 0);
	CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
	busy_peer = a;
	for (int i = 0; i < 1000; i++) {
		EXPECT(send_fds(a, 8, &fd, 1), 0);
		EXPECT(installing(a, &recv), 0);
		EXPECT(recv.msg.n_fds, 1);
		int got = fd_at(a, &recv, 0);
		struct stat st;
		CHECK(fstat(got, &st) == 0 && S_ISFIFO(st.st_mode));
		EXPECT(fcntl(got, F_GETFD), FD_CLOEXEC);
		close(got);
		EXPECT(slice_release(a, recv.msg.offset), 0);
	}
	timer = (struct itimerval){ 0 };
	setitimer(ITIMER_REAL, &timer, NULL);
	stop_threads = true;
	for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
	CHECK(ticks > 0);
	CHECK(pthread_sigmask(SIG_BLOCK, NULL, &now) == 0 && sigismember(&now, SIGUSR1) && !sigismember(&now, SIGALRM));
	struct sigaction after;
	CHECK(sigaction(SIGTRAP, NULL, &after) == 0 && after.sa_handler == tick);
}

static void *receive_in_a_thread(void *argument)
{
	struct bus1_cmd_recv recv;
	EXPECT(installing(busy_peer, &recv), 0);
	*(int *)argument = fd_at(busy_peer, &recv, 0);
	return NULL;
}

static void in_a_thread_that_is_not_the_first(void)
{
	int fd = marked(4), got;
	pthread_t thread;
	busy_peer = peer_open();
	EXPECT(send_fds(busy_peer, 8, &fd, 1), 0);
	CHECK(pthread_create(&thread, NULL, receive_in_a_thread, &got) == 0 && pthread_join(thread, NULL) == 0);
	EXPECT(mark_of(got), 4);
}

/* A filter that kills for every call the installation makes; the program itself makes none of them. */
static void under_a_seccomp_filter_of_its_own(void)
{
	int a = peer_open(), fd = marked(6);
	struct bus1_cmd_recv recv;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socketpair, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_recvmsg, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_dup3, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog filter = { sizeof code / sizeof *code, code };
	EXPECT(send_fds(a, 8, &fd, 1), 0);
	pid_t child = fork();
	if (child == 0) {
		CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
		EXPECT(installing(a, &recv), 0);
		EXPECT(mark_of(fd_at(a, &recv, 0)), 6);
		pid_t doomed = fork();
		if (doomed == 0) {
			syscall(SYS_dup3, 0, 100, 0);
			_exit(0);
		}
		int status;
		CHECK(waitpid(doomed, &status, 0) == doomed && WIFSIGNALED(status)); /* and the filter is in force again */
		_exit(0);
	}
	join(child);
}

static void an_unprivileged_process(void)
{
	int a = peer_open(), fd = marked(8);
	struct bus1_cmd_recv recv;
	pid_t child = fork();
	if (child == 0) {
		CHECK(setresgid(4321, 4321, 4321) == 0 && setresuid(4321, 4321, 4321) == 0);
		EXPECT(send_fds(a, 8, &fd, 1), 0);
		EXPECT(installing(a, &recv), 0);
		EXPECT(mark_of(fd_at(a, &recv, 0)), 8);
		_exit(0);
	}
	join(child);
}

static void a_stopped_process_stays_stopped(void)
{
	int a = peer_open(), fd = marked(2);
	struct bus1_cmd_recv recv;
	pid_t child = fork();
	if (child == 0) {
		for (;;) {
			EXPECT(send_fds(a, 8, &fd, 1), 0);
			EXPECT(installing(a, &recv), 0);
			close(fd_at(a, &recv, 0));
			EXPECT(slice_release(a, recv.msg.offset), 0);
		}
	}
	for (int i = 0; i < 50; i++) {
		int status;
		usleep(1000 + rand() % 3000);
		CHECK(kill(child, SIGSTOP) == 0);
		CHECK(waitpid(child, &status, WUNTRACED) == child);
		CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
		CHECK(kill(child, SIGCONT) == 0);
	}
	kill(child, SIGKILL);
	CHECK(waitpid(child, NULL, 0) == child);
}

static void killed_in_every_phase(void)
{
	int a = peer_open(), fd = marked(1);
	struct bus1_cmd_recv recv;
	for (int i = 0; i < 200; i++) {
		pid_t child = fork();
		if (child == 0) {
			for (;;) {
				send_fds(a, 8, &fd, 1);
				if (installing(a, &recv) == 0) {
					close(fd_at(a, &recv, 0));
					slice_release(a, recv.msg.offset);
				}
			}
		}
		usleep(500 + rand() % 1500);
		kill(child, SIGKILL);
		int status;
		CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	}
	EXPECT(flush(a), 0);
	EXPECT(send_fds(a, 8, &fd, 1), 0);
	EXPECT(installing(a, &recv), 0);
}

/* A stack in memory that cannot be read: there is no place to receive on, and the message stays. */
static long ioctl_on_stack(int peer, struct bus1_cmd_recv *recv, void *stack)
{
	long r;
	__asm__ volatile("mov %%rsp, %%rbx\n\tmov %[stack], %%rsp\n\tsyscall\n\tmov %%rbx, %%rsp"
			 : "=a"(r)
			 : "a"(SYS_ioctl), "D"((long)peer), "S"((unsigned long)BUS1_CMD_RECV), "d"(recv), [stack] "r"(stack)
			 : "rbx", "rcx", "r11", "memory");
	return r;
}

static void a_stack_that_is_not_there(void)
{
	int a = peer_open(), fd = marked(1);
	struct bus1_cmd_recv recv = { .flags = BUS1_RECV_FLAG_INSTALL_FDS, .max_offset = -1 };
	EXPECT(send_fds(a, 8, &fd, 1), 0);
	EXPECT(ioctl_on_stack(a, &recv, (void *)BAD_POINTER), -EFAULT);
	EXPECT(installing(a, &recv), 0);
}

static void what_lies_below_the_stack_is_kept(void)
{
	int a = peer_open(), fd = marked(1);
	static uint8_t memory[16384];
	struct bus1_cmd_recv recv = { .flags = BUS1_RECV_FLAG_INSTALL_FDS, .max_offset = -1 };
	for (size_t i = 0; i < sizeof memory; i++) memory[i] = i * 7;
	EXPECT(send_fds(a, 8, &fd, 1), 0);
	EXPECT(ioctl_on_stack(a, &recv, memory + 8192), 0);
	EXPECT(recv.msg.n_fds, 1);
	for (size_t i = 0; i < sizeof memory; i++) CHECK(memory[i] == (uint8_t)(i * 7));
}

/* A peer that SEND refused to carry is closed by its owner's close, not later. */
static void a_refused_peer_is_closed_at_once(void)
{
	int a = peer_open(), watcher = peer_open();
	for (int i = 0; i < 2000; i++) {
		int b = peer_open(), fds[] = { 0, b };
		__u64 handle = give(b, 8, watcher);
		EXPECT(send_fds(a, 8, i % 2 ? fds : fds + 1, i % 2 ? 2 : 1), -EOPNOTSUPP);
		close(b);
		EXPECT_NOTE(watcher, NODE_DESTROY, handle);
		EXPECT(release(watcher, handle), 0);
	}
}

/* A `struct bus1_cmd_recv` whose second half lies in a page of its own. */
static struct bus1_cmd_recv *recv_across_pages(void)
{
	uint8_t *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(pages != MAP_FAILED);
	return (struct bus1_cmd_recv *)(pages + 4096 - sizeof(struct bus1_cmd_recv) / 2);
}

static int protect(struct bus1_cmd_recv *recv, int protection)
{
	return mprotect((uint8_t *)recv + sizeof *recv / 2, 4096, protection);
}

static void prepare_installing(struct bus1_cmd_recv *recv)
{
	*recv = (struct bus1_cmd_recv){ .flags = BUS1_RECV_FLAG_INSTALL_FDS, .max_offset = -1 };
}

static void a_result_that_cannot_be_written(void)
{
	int a = peer_open(), fd = marked(1), before;
	struct bus1_cmd_recv *recv = recv_across_pages(), good;
	EXPECT(send_fds(a, 8, &fd, 1), 0);
	before = open_fds();
	prepare_installing(recv);
	CHECK(protect(recv, PROT_READ) == 0);
	EXPECT(command(a, BUS1_CMD_RECV, recv), -EFAULT);
	EXPECT(open_fds(), before);
	EXPECT(installing(a, &good), 0);
	EXPECT(good.msg.n_fds, 1);
	EXPECT(mark_of(fd_at(a, &good, 0)), 1);
}

static void *toggle(void *recv)
{
	while (!stop_threads) CHECK(protect(recv, PROT_READ) == 0 && protect(recv, PROT_READ | PROT_WRITE) == 0);
	return NULL;
}

/* At whatever moment the page becomes read-only: the message was received, or is still there. */
static void a_result_that_can_be_written_now_and_then(void)
{
	int a = peer_open(), fd = marked(1), before = open_fds(), failed = 0;
	struct bus1_cmd_recv *recv = recv_across_pages();
	pthread_t thread;
	CHECK(pthread_create(&thread, NULL, toggle, recv) == 0);
	for (int i = 0; i < 1000; i++) {
		int r;
		EXPECT(send_fds(a, 8, &fd, 1), 0);
		do {
			while (protect(recv, PROT_READ | PROT_WRITE) != 0) continue;
			struct bus1_cmd_recv fresh = { .flags = BUS1_RECV_FLAG_INSTALL_FDS, .max_offset = -1 };
			struct iovec from = { &fresh, sizeof fresh }, to = { recv, sizeof fresh };
			if (process_vm_writev(getpid(), &from, 1, &to, 1, 0) != sizeof fresh) continue;
			r = command(a, BUS1_CMD_RECV, recv);
			if (r == 0) break;
			EXPECT(r, -EFAULT);
			EXPECT(open_fds(), before);
			failed++;
		} while (true);
		EXPECT(recv->msg.n_fds, 1);
		EXPECT(open_fds(), before + 1);
		EXPECT(close(fd_at(a, recv, 0)), 0);
		EXPECT(slice_release(a, recv->msg.offset), 0);
		CHECK(nothing(a));
	}
	stop_threads = true;
	pthread_join(thread, NULL);
	CHECK(failed > 0);
}

struct recv_72 {
	__u64 flags, max_offset, type, msg_flags, destination, offset, n_bytes, n_handles, n_fds;
};

static int recv_72(int peer, struct recv_72 *recv, __u64 flags)
{
	*recv = (struct recv_72){ .flags = flags, .max_offset = -1, .n_fds = 0x5555 };
	return command(peer, 0xc0489650, recv);
}

/* Contract section 10: it does not tell how many were carried, only how many were installed. */
static void with_the_2019_header(void)
{
	int a = peer_open(), fds[] = { marked(1), marked(2) }, last;
	struct recv_72 recv;
	const uint8_t *map = pool(a);
	for (int i = 0; i < 2; i++) EXPECT(send_fds(a, 8, fds, 2), 0);
	EXPECT(recv_72(a, &recv, 0), 0);
	EXPECT(recv.n_fds, 0);
	EXPECT(recv_72(a, &recv, 1 << 1), 0);
	EXPECT(recv.n_fds, 2);
	memcpy(&last, map + recv.offset + 4, sizeof last);
	EXPECT(mark_of(last), 2);
}

/* For some weeks the flag for that was another one, which means nothing else in the later header. */
static void with_the_header_of_february_2017(void)
{
	int a = peer_open(), fd = marked(3), got;
	struct recv_72 recv;
	EXPECT(send_fds(a, 8, &fd, 1), 0);
	EXPECT(recv_72(a, &recv, 1 << 2), 0);
	EXPECT(recv.n_fds, 1);
	memcpy(&got, pool(a) + recv.offset, sizeof got);
	EXPECT(mark_of(got), 3);
}

MAIN(CASE(installed_at_the_lowest_free_numbers), CASE(gaps_in_the_table_are_filled), CASE(as_many_as_there_may_be),
     CASE(together_with_payload_and_handles), CASE(errors_of_send), CASE(without_the_flag_they_are_dropped),
     CASE(flush_and_close_drop_them), CASE(peek_installs_each_time), CASE(a_multicast_and_a_seed_carry_them),
     CASE(a_table_that_is_almost_full), CASE(max_offset_and_quota_come_first), CASE(a_traced_process_gets_eperm),
     CASE(in_a_busy_process), CASE(in_a_thread_that_is_not_the_first), CASE(under_a_seccomp_filter_of_its_own),
     CASE(an_unprivileged_process), CASE(a_stopped_process_stays_stopped), CASE(killed_in_every_phase),
     CASE(a_stack_that_is_not_there), CASE(what_lies_below_the_stack_is_kept), CASE(a_refused_peer_is_closed_at_once),
     CASE(a_result_that_cannot_be_written), CASE(a_result_that_can_be_written_now_and_then), CASE(with_the_2019_header),
     CASE(with_the_header_of_february_2017))
