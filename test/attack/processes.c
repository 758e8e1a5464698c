/* Receivers of descriptors that execute programs, are stopped, frozen, traced or killed meanwhile. */
#include "attack.h"
#include <sys/ptrace.h>
#include <sys/user.h>

static int peer;

static void receive_for_ever(int fd)
{
	struct bus1_cmd_recv recv;
	for (;;) {
		if (send_nothing(fd)) continue;
		if (recv_flags(fd, &recv, BUS1_RECV_FLAG_INSTALL_FDS)) recv_message(fd, &recv);
		else slice_release(fd, recv.msg.offset);
		close_range(fd + 2, fd + 100, 0);
	}
}

/* What a message carries, so that handing it over takes its time; and where set-user-id.c has zeros. */
#define MANY_HANDLES 20000
#define ZEROS ((void *)0x10000000)
#define ZEROS_SIZE (1 << 20)

static volatile int lowest;

/* Executes a program of root's when the descriptor of the message, a pipe, is there. */
static void *execute(void *program)
{
	struct stat stat;
	while (lowest == 0) continue;
	while (fstat(lowest, &stat) != 0 || !S_ISFIFO(stat.st_mode)) continue;
	usleep((getpid() & 3) * 2000);
	execl(program, program, NULL);
	return NULL;
}

/* A program with the rights of another user takes the place of a receiver, and nothing of what the receiver is told goes to it. */
static void another_program_in_its_place(void)
{
	static __u64 handles[MANY_HANDLES];
	const char *program = getenv("SET_USER_ID");
	for (int i = 0; i < MANY_HANDLES; i++) handles[i] = 16;
	for (int i = 0; i < 12; i++) {
		pid_t child = fork();
		if (child == 0) {
			int ends[2];
			become(ATTACKER);
			peer = peer_open();
			CHECK(pipe2(ends, O_CLOEXEC) == 0);
			__u64 node = 0x4142434445464748;
			struct bus1_cmd_send send = { .ptr_destinations = (uintptr_t)&node, .n_destinations = 1, .ptr_handles = (uintptr_t)handles, .n_handles = MANY_HANDLES, .ptr_fds = (uintptr_t)ends, .n_fds = 1 };
			EXPECT(command(peer, BUS1_CMD_SEND, &send), 0);
			char *zeros = mmap(ZEROS, ZEROS_SIZE, PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
			CHECK(zeros == ZEROS);
			struct bus1_cmd_recv *recv = (void *)(zeros + 0x8000);
			*recv = (struct bus1_cmd_recv){ .flags = BUS1_RECV_FLAG_INSTALL_FDS, .max_offset = -1 };
			start(execute, (void *)program);
			lowest = ends[1] + 1;
			ioctl(peer, BUS1_CMD_RECV, recv);
			pause();
		}
		int status;
		CHECK(waitpid(child, &status, 0) == child);
		if (status) exit(1); /* it said what it found */
	}
}

static void *execute_a_file_that_never_comes(void *path)
{
	sleep_ms(100);
	execl(path, path, NULL);
	return NULL;
}

static void *receive(void *unused)
{
	receive_for_ever(peer);
	return unused;
}

/* An execve() that does not go on holds what attaching to its process needs. */
static void a_program_that_does_not_start(void)
{
	pid_t server = files_of(ATTACKER, ""), child = fork();
	if (child == 0) {
		char path[300];
		become(ATTACKER);
		own->read = NEVER;
		peer = peer_open();
		snprintf(path, sizeof path, "%s/a", own_directory);
		start(receive, NULL);
		start(execute_a_file_that_never_comes, path);
		pause();
	}
	sleep_ms(ATTACK_MS);
	end_server(server);
	kill(child, SIGKILL);
}

/* Stopped and continued all the time, and now and then killed. */
static void receivers_that_are_stopped(void)
{
	pid_t children[4] = { 0 };
	unsigned random = 1;
	become(ATTACKER);
	for (long long end = own_clock() + ATTACK_MS; own_clock() < end;) {
		for (int i = 0; i < 4; i++) {
			if (children[i] == 0 && (children[i] = fork()) == 0) receive_for_ever(peer_open());
			random = random * 1103515245 + 12345;
			int kind = random >> 16 & 31;
			kill(children[i], kind == 0 ? SIGKILL : kind & 1 ? SIGSTOP
									 : SIGCONT);
			if (kind == 0) waitpid(children[i], NULL, 0), children[i] = 0;
		}
		usleep(300);
	}
	for (int i = 0; i < 4; i++) kill(children[i], SIGKILL);
}

/* Traced by somebody else, as by strace, who lets it go on at his leisure. */
static void receivers_that_are_traced(void)
{
	become(ATTACKER);
	pid_t child = fork();
	if (child == 0) {
		peer = peer_open();
		start(receive, NULL);
		receive_for_ever(peer_open());
	}
	sleep_ms(50);
	for (long long end = own_clock() + ATTACK_MS; own_clock() < end;) {
		int status;
		if (ptrace(PTRACE_SEIZE, child, 0, PTRACE_O_TRACESYSGOOD) < 0) {
			expect_running(child, "a traced receiver");
			continue;
		}
		CHECK(ptrace(PTRACE_INTERRUPT, child, 0, 0) == 0);
		for (int i = 0; i < 20 && waitpid(child, &status, __WALL) == child && WIFSTOPPED(status); i++) {
			sleep_ms(2);
			ptrace(PTRACE_SYSCALL, child, 0, 0);
		}
		ptrace(PTRACE_INTERRUPT, child, 0, 0);
		if (waitpid(child, &status, __WALL) == child && !WIFSTOPPED(status)) printf("killed: a traced receiver\n"), exit(1);
		ptrace(PTRACE_DETACH, child, 0, 0);
	}
	kill(child, SIGKILL);
}

/* As docker pause does it: the cgroup in which this is, is frozen for half a second, and thawed. */
static void receivers_that_are_frozen(void)
{
	const char *group = getenv("FREEZER");
	char procs[300], state[300], pid[16];
	if (group == NULL) return;
	snprintf(procs, sizeof procs, "%s/cgroup.procs", group);
	snprintf(state, sizeof state, "%s/%s", group, getenv("FREEZER_FILE"));
	pid_t children[4];
	for (int i = 0; i < 4; i++) {
		if ((children[i] = fork()) > 0) continue;
		snprintf(pid, sizeof pid, "%d", getpid());
		write_text(procs, pid);
		become(ATTACKER);
		receive_for_ever(peer_open());
	}
	sleep_ms(200);
	for (int i = 0; i < 2; i++) {
		write_text(state, getenv("FROZEN"));
		sleep_ms(ATTACK_MS / 2);
		write_text(state, getenv("THAWED"));
		sleep_ms(100);
		for (int j = 0; j < 4; j++) expect_running(children[j], "a frozen receiver");
	}
	for (int i = 0; i < 4; i++) kill(children[i], SIGKILL);
}

static void *touch(void *at)
{
	return *(void *volatile *)at ? NULL : at;
}

/* The first thread of a receiver is killed while it is traced, and cannot be reaped, since another one cannot die. */
static void a_receiver_that_cannot_be_reaped(void)
{
	pid_t server = files_of(ATTACKER, "");
	own->read = NEVER;
	for (int i = 0; i < 20; i++) {
		pid_t child = fork();
		if (child == 0) {
			become(ATTACKER);
			char name[] = { 'a' + i, 0 };
			start(touch, own_memory(name, 4096));
			while (own->reads <= i) sleep_ms(1);
			receive_for_ever(peer_open());
		}
		sleep_ms(40 + i);
		kill(child, SIGKILL);
	}
	sleep_ms(500);
	end_server(server);
}

/* The engine is killed while this goes on: new peers can be opened soon after, and old ones work or say that they are lost. */
static void an_engine_that_dies(void)
{
	struct bus1_cmd_peer_reset answer;
	long long last_failure = 0, end = own_clock() + 3000;
	int old = -1, failures = 0;
	become(ATTACKER);
	old = peer_open();
	while (own_clock() < end) {
		int fd = open(device, O_RDWR | O_CLOEXEC);
		if (fd < 0 || query(fd, &answer) != 0) last_failure = own_clock(), failures++;
		close(fd);
		sleep_ms(10);
	}
	CHECK(last_failure < end - 500);
	int r = query(old, &answer);
	CHECK(r == 0 || r == -ESHUTDOWN || (r == -ECONNABORTED && failures > 0));
}

MAIN(CASE(another_program_in_its_place), CASE(a_program_that_does_not_start), CASE(receivers_that_are_stopped),
     CASE(receivers_that_are_traced), CASE(receivers_that_are_frozen), CASE(a_receiver_that_cannot_be_reaped),
     CASE(an_engine_that_dies))
