/* PEER_DISCONNECT with NULL, as a program under `bus1fs run` or a seccomp agent can call it. */
#include "bus1-test.h"
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

static int disconnect_null(int peer)
{
	return command(peer, BUS1_CMD_PEER_DISCONNECT, NULL);
}

static void null_is_allowed(void)
{
	int p = peer_open(), other = peer_open();
	__u64 handle = give(p, 8, other);
	EXPECT(disconnect_null(p), 0);
	EXPECT_NOTE(other, NODE_DESTROY, handle);
	EXPECT(disconnect_null(p), -ESHUTDOWN);
	EXPECT(disconnect(p), -ESHUTDOWN);
}

static void everything_else_is_as_ever(void)
{
	int p = peer_open(), ends[2];
	struct bus1_cmd_peer_reset q;
	CHECK(pipe(ends) == 0);
	EXPECT(command(p, BUS1_CMD_PEER_QUERY, NULL), -EFAULT);
	EXPECT(command(p, BUS1_CMD_PEER_DISCONNECT, (void *)BAD_POINTER), -EFAULT);
	EXPECT(command(p, BUS1_CMD_PEER_DISCONNECT, &(__u64){ 1 }), -EINVAL);
	EXPECT(disconnect_null(99), -EBADF);
	EXPECT(disconnect_null(-1), -EBADF);
	EXPECT(disconnect_null(ends[0]), -ENOTTY);
	EXPECT(disconnect_null(open(device, O_PATH)), -EBADF);
	EXPECT(query(p, &q), 0);
	EXPECT(disconnect(p), 0);
}

static void *disconnect_many(void *unused)
{
	for (int i = 0; i < 50; i++) {
		int p = peer_open();
		EXPECT(disconnect_null(p), 0);
		close(p);
	}
	return unused;
}

static void by_threads_and_children(void)
{
	pthread_t threads[4];
	pid_t children[4];
	for (int i = 0; i < 4; i++) {
		pthread_create(&threads[i], NULL, disconnect_many, NULL);
		if ((children[i] = fork()) == 0) {
			disconnect_many(NULL);
			exit(0);
		}
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		join(children[i]);
	}
}

static void tick(int signal)
{
	(void)signal;
}

/* A call that was begun is neither repeated nor lost when signals arrive. */
static void under_a_rain_of_signals(void)
{
	struct itimerval often = { { 0, 50 }, { 0, 50 } };
	sigaction(SIGALRM, &(struct sigaction){ .sa_handler = tick, .sa_flags = SA_RESTART }, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < 200; i++) {
		int p = peer_open();
		EXPECT(disconnect_null(p), 0);
		close(p);
	}
}

static void killed_meanwhile(void)
{
	for (int i = 0; i < 50; i++) {
		pid_t child = fork();
		if (child == 0) {
			for (;;) disconnect_many(NULL);
		}
		usleep(1000 + i * 100);
		kill(child, SIGKILL);
		CHECK(waitpid(child, NULL, 0) == child);
	}
}

MAIN(CASE(null_is_allowed), CASE(everything_else_is_as_ever), CASE(by_threads_and_children), CASE(under_a_rain_of_signals),
     CASE(killed_meanwhile))
