/*
 * An unrelated user of the bus, who makes one call of each kind once a millisecond and notes how long the longest took.
 *
 *   bystander DEVICE FILE
 *
 * FILE is an array of struct kind, which whoever watches reads, and clears, while this goes on until it is killed.
 */
#include "../clients/bus1-test.h"
#include <pthread.h>
#include <sys/prctl.h>
#include <time.h>

struct kind {
	__u64 begun; /* CLOCK_MONOTONIC, ns, when the call that is being made began; 0 between two */
	__u64 worst; /* ns */
	__u64 calls;
	__u64 errors;
	__u64 error; /* the last */
};

static struct kind *kinds;

static __u64 now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

static int peer_query(int peer)
{
	struct bus1_cmd_peer_reset answer;
	return query(peer, &answer);
}

static int message(int peer)
{
	struct bus1_cmd_recv recv;
	int r = send_text(peer, 8, "to myself");
	if (r == 0) r = recv_message(peer, &recv);
	return r ? r : slice_release(peer, recv.msg.offset);
}

static int reopen(__attribute__((unused)) int peer)
{
	int fd = open(device, O_RDWR | O_CLOEXEC);
	if (fd < 0) return -errno;
	close(fd);
	return 0;
}

/* What a call costs that has nothing to do with the bus: to another process and back. */
static int echo(int socket)
{
	char byte = 0;
	return write(socket, &byte, 1) == 1 && read(socket, &byte, 1) == 1 ? 0 : -errno;
}

static const struct {
	int (*call)(int);
	int pause; /* us */
} CALLS[] = { { peer_query, 1000 }, { message, 1000 }, { reopen, 20000 }, { echo, 1000 } };

static int descriptors[sizeof CALLS / sizeof *CALLS];

static void *make_calls(void *index)
{
	size_t i = (uintptr_t)index;
	struct kind *kind = &kinds[i];
	for (;;) {
		__u64 begun = now();
		__atomic_store_n(&kind->begun, begun, __ATOMIC_RELAXED);
		int r = CALLS[i].call(descriptors[i]);
		__u64 took = now() - begun;
		__atomic_store_n(&kind->begun, 0, __ATOMIC_RELAXED);
		if (took > kind->worst) kind->worst = took;
		kind->calls++;
		if (r) kind->errors++, kind->error = -r;
		usleep(CALLS[i].pause);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int pair[2];
	CHECK(argc == 3);
	device = argv[1];
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	int file = open(argv[2], O_RDWR);
	CHECK(file >= 0);
	kinds = mmap(NULL, sizeof CALLS / sizeof *CALLS * sizeof *kinds, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	CHECK(kinds != MAP_FAILED);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		for (char byte; read(pair[1], &byte, 1) == 1;)
			if (write(pair[1], &byte, 1) != 1) break;
		return 0;
	}
	close(pair[1]);
	descriptors[0] = peer_open();
	descriptors[1] = peer_open();
	descriptors[3] = pair[0];
	for (size_t i = 0; i < sizeof CALLS / sizeof *CALLS; i++) {
		pthread_t thread;
		CHECK(pthread_create(&thread, NULL, make_calls, (void *)i) == 0);
	}
	pause();
}
