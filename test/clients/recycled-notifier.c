/*
 * A thread whose call was reported to the seccomp agent dies before the agent looks at it, and another process has its id and
 * a peer under the same number: that one is left alone. The agent is stopped at the right moment as a debugger does.
 *
 *   recycled-notifier DEVICE SOCKET AGENT...   runs AGENT, which listens at SOCKET; as process 1 of a pid namespace
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stddef.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/un.h>
#include <sys/user.h>
#include "bus1-test.h"

enum { PEER = 100,
       LISTENER = 101 };

static void install_filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, BUS1_CMD_PEER_DISCONNECT, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof code / sizeof *code, code };
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	int listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
	CHECK(listener >= 0 && dup2(listener, LISTENER) == LISTENER);
	close(listener);
}

/* Hands the listener over as a container runtime does. */
static void give_listener(const char *path)
{
	static const char state[] = "{\"fds\":[\"seccompFd\"],\"state\":{\"id\":\"test\"}}";
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec vec = { (void *)state, strlen(state) };
	struct msghdr message = { .msg_iov = &vec, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), listener = LISTENER;
	strncpy(address.sun_path, path, sizeof address.sun_path - 1);
	CHECK(connect(fd, (void *)&address, sizeof address) == 0);
	control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof listener) };
	memcpy(CMSG_DATA(&control.head), &listener, sizeof listener);
	CHECK(sendmsg(fd, &message, 0) == (ssize_t)strlen(state));
	close(listener);
}

/* A process with a peer under a number of its own; says what became of its PEER_DISCONNECT with NULL, if it gets that far. */
static pid_t start_caller(const char *socket, int *result_of)
{
	int ends[2];
	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		int peer = peer_open();
		CHECK(dup2(peer, PEER) == PEER);
		close(peer);
		install_filter();
		give_listener(socket);
		int r = command(PEER, BUS1_CMD_PEER_DISCONNECT, NULL);
		CHECK(write(ends[1], &r, sizeof r) == sizeof r);
		_exit(0);
	}
	close(ends[1]);
	*result_of = ends[0];
	return child;
}

/* A process with a peer under the same number, which waits to be asked whether it still is one. */
static pid_t start_bystander(int *ask, int *answer)
{
	int questions[2], answers[2];
	CHECK(pipe2(questions, O_CLOEXEC) == 0 && pipe2(answers, O_CLOEXEC) == 0);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		struct bus1_cmd_peer_reset q;
		char byte;
		int peer = peer_open();
		CHECK(dup2(peer, PEER) == PEER);
		CHECK(write(answers[1], "", 1) == 1);
		CHECK(read(questions[0], &byte, 1) == 1);
		int r = query(PEER, &q);
		CHECK(write(answers[1], &r, sizeof r) == sizeof r);
		_exit(0);
	}
	char byte;
	close(questions[0]), close(answers[1]);
	CHECK(read(answers[0], &byte, 1) == 1);
	*ask = questions[1], *answer = answers[0];
	return child;
}

static pid_t start_agent(char **command)
{
	int out[2];
	char line[256];
	CHECK(pipe2(out, O_CLOEXEC) == 0);
	pid_t agent = fork();
	CHECK(agent >= 0);
	if (agent == 0) {
		dup2(out[1], 1);
		execvp(command[0], command);
		_exit(127);
	}
	close(out[1]);
	CHECK(read(out[0], line, sizeof line) > 0); /* it says that it is ready */
	return agent;
}

/* Lets the agent run to the end of its next successful NOTIF_RECV, and keeps it stopped there. */
static void stop_after_recv(pid_t agent)
{
	int status;
	for (;;) {
		CHECK(ptrace(PTRACE_SYSCALL, agent, 0, 0) == 0);
		CHECK(waitpid(agent, &status, __WALL) == agent && WIFSTOPPED(status));
		struct user_regs_struct registers;
		if (WSTOPSIG(status) != (SIGTRAP | 0x80)) continue;
		CHECK(ptrace(PTRACE_GETREGS, agent, 0, &registers) == 0);
		/* at the beginning of a call its result is not there yet */
		if (registers.orig_rax == SYS_ioctl && (unsigned)registers.rsi == (unsigned)SECCOMP_IOCTL_NOTIF_RECV && registers.rax == 0)
			return;
	}
}

static void next_id(pid_t id)
{
	char text[16];
	int last = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	snprintf(text, sizeof text, "%d", id - 1);
	CHECK(last >= 0 && write(last, text, strlen(text)) > 0);
	close(last);
}

int main(int argc, char **argv)
{
	CHECK(argc >= 4);
	device = argv[1];
	const char *socket = argv[2];
	int unused, ask, answer, status, r;
	pid_t agent = start_agent(argv + 3), bystander = 0;
	for (int i = 0; bystander == 0; i++) {
		CHECK(i < 100);
		CHECK(ptrace(PTRACE_SEIZE, agent, 0, PTRACE_O_TRACESYSGOOD) == 0 && ptrace(PTRACE_INTERRUPT, agent, 0, 0) == 0);
		CHECK(waitpid(agent, &status, __WALL) == agent && WIFSTOPPED(status));
		pid_t caller = start_caller(socket, &unused);
		stop_after_recv(agent);
		CHECK(kill(caller, SIGKILL) == 0 && waitpid(caller, NULL, 0) == caller);
		next_id(caller);
		pid_t other = start_bystander(&ask, &answer);
		/* an id may not be free yet; then it is tried again */
		if (other == caller) bystander = other;
		else CHECK(kill(other, SIGKILL) == 0 && waitpid(other, NULL, 0) == other);
		CHECK(ptrace(PTRACE_DETACH, agent, 0, 0) == 0);
	}
	/* one that is served after it, in the order of the agent's work */
	pid_t last = start_caller(socket, &unused);
	CHECK(read(unused, &r, sizeof r) == sizeof r);
	EXPECT(r, 0);
	CHECK(waitpid(last, NULL, 0) == last);
	CHECK(write(ask, "", 1) == 1 && read(answer, &r, sizeof r) == sizeof r);
	EXPECT(r, 0);
	CHECK(waitpid(bystander, NULL, 0) == bystander);
	CHECK(kill(agent, SIGTERM) == 0 && waitpid(agent, &status, 0) == agent);
	return 0;
}
