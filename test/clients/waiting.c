/* Calls that are answered later, on the device of test/support/waiting-fs.ts. */
#include "bus1-test.h"
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>

#define WAIT _IOWR('w', 1, __u64)
#define WAIT_CANCELLABLE _IOWR('w', 2, __u64)
#define FINISH _IOWR('w', 3, __u64)
#define COUNT _IOWR('w', 4, __u64)

static int wait_for(int fd, unsigned long number, __u64 value, __u64 *answer)
{
	int r = command(fd, number, &value);
	if (answer) *answer = value;
	return r;
}

static __u64 waiting(int fd)
{
	__u64 count = 0;
	EXPECT(command(fd, COUNT, &count), 0);
	return count;
}

static void until_there_are(int fd, __u64 n)
{
	while (waiting(fd) != n) usleep(1000);
}

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void a_deadline_ends_it(void)
{
	int fd = peer_open();
	double start = seconds();
	EXPECT(wait_for(fd, WAIT, 200, NULL), -ETIMEDOUT);
	CHECK(seconds() - start >= 0.2);
	EXPECT(waiting(fd), 0);
}

struct waiter {
	pthread_t thread;
	int fd, result;
	unsigned long number;
	__u64 value, answer;
};

static void *run_waiter(void *argument)
{
	struct waiter *waiter = argument;
	waiter->result = wait_for(waiter->fd, waiter->number, waiter->value, &waiter->answer);
	return NULL;
}

static void start(struct waiter *waiter, int fd, unsigned long number, __u64 value)
{
	*waiter = (struct waiter){ .fd = fd, .number = number, .value = value };
	CHECK(pthread_create(&waiter->thread, NULL, run_waiter, waiter) == 0);
}

static void another_call_answers_it(void)
{
	enum { N = 50 };
	struct waiter waiters[N];
	int fd = peer_open(), other = peer_open();
	for (int i = 0; i < N; i++) start(&waiters[i], i % 2 ? fd : other, WAIT, i % 3 ? 0 : 60000);
	until_there_are(fd, N);
	__u64 value = 0x123456789abcd;
	EXPECT(command(other, FINISH, &value), 0);
	for (int i = 0; i < N; i++) {
		CHECK(pthread_join(waiters[i].thread, NULL) == 0);
		EXPECT(waiters[i].result, 0);
		EXPECT(waiters[i].answer, value);
	}
	EXPECT(waiting(fd), 0);
}

static void a_descriptor_cancels_it(void)
{
	struct waiter waiter;
	int fd = peer_open(), cancel = eventfd(0, EFD_CLOEXEC);
	__u64 one = 1;
	start(&waiter, fd, WAIT_CANCELLABLE, cancel);
	until_there_are(fd, 1);
	CHECK(write(cancel, &one, 8) == 8);
	CHECK(pthread_join(waiter.thread, NULL) == 0);
	EXPECT(waiter.result, -ECANCELED);
	/* it is readable still; and a file that is always ready */
	EXPECT(wait_for(fd, WAIT_CANCELLABLE, cancel, NULL), -ECANCELED);
	EXPECT(wait_for(fd, WAIT_CANCELLABLE, open("/proc/self/exe", O_RDONLY), NULL), -ECANCELED);
	EXPECT(waiting(fd), 0);
}

static void ignore(int signal)
{
	(void)signal;
}

static void a_signal_interrupts_it(void)
{
	struct waiter waiter;
	int fd = peer_open();
	CHECK(sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = ignore }, NULL) == 0);
	start(&waiter, fd, WAIT, 0);
	until_there_are(fd, 1);
	CHECK(pthread_kill(waiter.thread, SIGUSR1) == 0);
	CHECK(pthread_join(waiter.thread, NULL) == 0);
	EXPECT(waiter.result, -EINTR);
	EXPECT(waiting(fd), 0);
}

static void its_process_can_be_killed(void)
{
	int fd = peer_open();
	pid_t child = fork();
	if (child == 0) exit(wait_for(peer_open(), WAIT, 0, NULL));
	until_there_are(fd, 1);
	CHECK(kill(child, SIGKILL) == 0);
	int status;
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFSIGNALED(status));
	until_there_are(fd, 0);
}

static void others_go_on_meanwhile(void)
{
	struct waiter waiters[20];
	int fd = peer_open();
	for (int i = 0; i < 20; i++) start(&waiters[i], fd, WAIT, i ? 0 : 300);
	for (int i = 0; i < 500; i++) CHECK(waiting(fd) <= 20);
	CHECK(pthread_join(waiters[0].thread, NULL) == 0);
	EXPECT(waiters[0].result, -ETIMEDOUT);
	until_there_are(fd, 19);
	__u64 value = 7;
	EXPECT(command(fd, FINISH, &value), 0);
	for (int i = 1; i < 20; i++) CHECK(pthread_join(waiters[i].thread, NULL) == 0);
}

static void it_has_no_memory(void)
{
	int fd = peer_open();
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED);
	EXPECT(-errno, -ENODEV);
	EXPECT(poll_now(fd), 0);
}

MAIN(CASE(a_deadline_ends_it), CASE(another_call_answers_it), CASE(a_descriptor_cancels_it), CASE(a_signal_interrupts_it),
     CASE(its_process_can_be_killed), CASE(others_go_on_meanwhile), CASE(it_has_no_memory))
