/*
 * The id of a thread that sent comes back as the id of another process. Needs a pid namespace in which nothing else starts
 * processes, and the daemon in the same one.
 */
#include "bus1-test.h"
#include <pthread.h>

static int peer;
static pid_t thread_id;

static void *send_from_a_thread(void *unused)
{
	thread_id = gettid();
	EXPECT(send_text(peer, 8, "thread"), 0);
	return unused;
}

/* The next process or thread gets this id. */
static void next_id(pid_t id)
{
	char text[16];
	int last = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	CHECK(last >= 0);
	snprintf(text, sizeof text, "%d", id - 1);
	CHECK(write(last, text, strlen(text)) > 0);
	close(last);
}

/* An ended thread may keep its id for a moment: then the process gets another one, and it is tried again. */
static void comes_back_after(useconds_t pause)
{
	pthread_t thread;
	struct bus1_cmd_recv recv;
	peer = peer_open();
	for (int i = 0; i < 100; i++) {
		CHECK(pthread_create(&thread, NULL, send_from_a_thread, NULL) == 0 && pthread_join(thread, NULL) == 0);
		EXPECT(recv_message(peer, &recv), 0);
		EXPECT(recv.msg.pid, getpid());
		EXPECT(recv.msg.tid, thread_id);
		usleep(pause);
		next_id(thread_id);
		pid_t child = fork();
		if (child == 0) _exit(send_text(peer, 8, "process") ? 1 : 0);
		join(child);
		EXPECT(recv_message(peer, &recv), 0);
		EXPECT(recv.msg.pid, child);
		EXPECT(recv.msg.tid, child);
		if (child == thread_id) return;
	}
	CHECK(!"the id came back");
}

static void after_a_while(void)
{
	comes_back_after(150000);
}

static void at_once(void)
{
	comes_back_after(0);
}

MAIN(CASE(after_a_while), CASE(at_once))
