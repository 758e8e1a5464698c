/*
 * What attacks share. They start as root, for what somebody else would have set up, and attack as an ordinary user. Silent
 * success says that all is as it must be; who was killed is told in a line of its own.
 */
#ifndef ATTACK_H
#define ATTACK_H

#include "own-files.h"
#include <grp.h>
#include <pthread.h>
#include <sys/fsuid.h>
#include <sys/resource.h>

/* Who attacks, whom, and somebody who has nothing to do with it. */
#define ATTACKER 1000
#define VICTIM 1001
#define OTHER 1002

/* TRANSFER of the header of 2026, which cannot be included beside that of 2016. */
struct transfer_2026 {
	__u64 flags, to, n, source, target;
};
#define TRANSFER_2026 _IOWR(0x97, 0x00, struct transfer_2026)

/* How long an attack goes on, in ms, and what a call may take that nobody may hold up. */
#define ATTACK_MS 1000
#define PROMPT_MS 500

/* Becomes an ordinary user. */
static void become(uid_t uid)
{
	CHECK(setgroups(0, NULL) == 0 && setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0);
	prctl(PR_SET_DUMPABLE, 1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* A peer of a user. */
static int peer_of(uid_t uid)
{
	setfsuid(uid);
	int fd = peer_open();
	setfsuid(0);
	return fd;
}

static void start(void *(*run)(void *), void *argument)
{
	pthread_t thread;
	CHECK(pthread_create(&thread, NULL, run, argument) == 0);
}

static void sleep_ms(int ms)
{
	usleep(ms * 1000);
}

/* Something that processes count together. */
static volatile int *shared_count(void)
{
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(memory != MAP_FAILED);
	return memory;
}

/* Waits until it is so high, or so many ms have passed. */
static void await_count(const volatile int *count, int wanted, int ms)
{
	for (long long end = own_clock() + ms; *count < wanted && own_clock() < end;) sleep_ms(1);
}

/* SEND of descriptors, and nothing else, to one destination. */
static int send_files(int peer, __u64 destination, const int *files, size_t n)
{
	struct bus1_cmd_send send = { .ptr_destinations = (uintptr_t)&destination, .n_destinations = 1, .ptr_fds = (uintptr_t)files, .n_fds = n };
	return command(peer, BUS1_CMD_SEND, &send);
}

static int send_file(int peer, __u64 destination, int file)
{
	return send_files(peer, destination, &file, 1);
}

/* SEND of a descriptor that is no trouble. */
static int send_nothing(int peer)
{
	static int file;
	if (file == 0) file = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return send_file(peer, 8, file);
}

/* RECV of a message with one descriptor. Returns that, or a negative errno. */
static int receive_file(int peer)
{
	struct bus1_cmd_recv recv;
	int r = recv_flags(peer, &recv, BUS1_RECV_FLAG_INSTALL_FDS), file;
	if (r) return r;
	void *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, peer, recv.msg.offset / 4096 * 4096);
	CHECK(map != MAP_FAILED);
	memcpy(&file, (char *)map + recv.msg.offset % 4096 + (recv.msg.n_bytes + 7) / 8 * 8 + recv.msg.n_handles * 8, sizeof file);
	munmap(map, 4096);
	EXPECT(slice_release(peer, recv.msg.offset), 0);
	return file;
}

/* A child must not have been killed, or have ended otherwise. */
static void expect_running(pid_t child, const char *who)
{
	int status;
	if (waitpid(child, &status, WNOHANG) == 0) return;
	if (WIFSIGNALED(status)) printf("killed: %s, by signal %d\n", who, WTERMSIG(status));
	exit(1);
}

/* Ends a file server, and with it all who wait for it. */
static void end_server(pid_t server)
{
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
}

#endif
