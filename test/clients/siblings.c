/* Opens of one inode, as /proc/self/fd and bind mounts of the device file make them. Each is a peer; they share a pool. */
#include "bus1-test.h"
#include <pthread.h>
#include <sys/prctl.h>

static int reopen(int peer)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", peer);
	return result(open(path, O_RDWR | O_CLOEXEC));
}

static void each_is_a_peer(void)
{
	int peers[4] = { peer_open() }, outsider = peer_open();
	__u64 handles[4];
	for (int i = 1; i < 4; i++) CHECK((peers[i] = reopen(peers[0])) >= 0);
	for (int i = 0; i < 4; i++) handles[i] = give(peers[(i + 1) % 4], 8, peers[i]);
	for (int i = 0; i < 4; i++) EXPECT(send_text(peers[i], handles[i], (char[]){ 'a' + i, 0 }), 0);
	for (int i = 0; i < 4; i++) EXPECT_TEXT(peers[(i + 1) % 4], 8, ((char[]){ 'a' + i, 0 }));
	EXPECT(disconnect(peers[2]), 0);
	EXPECT_NOTE(peers[1], NODE_DESTROY, handles[1]);
	EXPECT_NOTE(peers[3], NODE_RELEASE, 8);
	EXPECT(transfer(outsider, 8, peers[2], NULL), -ESHUTDOWN);
	EXPECT(transfer(outsider, 8, peers[3], NULL), 0);
}

static void slices_are_disjoint_in_the_one_pool(void)
{
	int a = peer_open(), b = reopen(a);
	struct bus1_cmd_recv at_a, at_b;
	EXPECT(send_text(a, 8, "for a"), 0);
	EXPECT(send_text(b, 8, "for b"), 0);
	EXPECT(recv_message(a, &at_a), 0);
	EXPECT(recv_message(b, &at_b), 0);
	const uint8_t *map = pool(a), *other = pool(b);
	EXPECT(memcmp(map + at_a.msg.offset, "for a", 5), 0);
	EXPECT(memcmp(map + at_b.msg.offset, "for b", 5), 0);
	EXPECT(memcmp(other + at_a.msg.offset, "for a", 5), 0);
	EXPECT(slice_release(a, at_b.msg.offset), -ENXIO);
	EXPECT(flush(a), 0);
	EXPECT(memcmp(other + at_b.msg.offset, "for b", 5), 0);
	EXPECT(slice_release(b, at_b.msg.offset), 0);
}

static void the_pool_outlives_who_made_it(void)
{
	int a = peer_open(), b = reopen(a);
	EXPECT(send_text(b, 8, "still here"), 0);
	close(a);
	int c = reopen(b);
	EXPECT_TEXT(b, 8, "still here");
	EXPECT(send_text(c, 8, "and here"), 0);
	close(b);
	EXPECT_TEXT(c, 8, "and here");
}

static void become_user(void)
{
	CHECK(setresuid(4321, 4321, 4321) == 0);
	CHECK(prctl(PR_SET_DUMPABLE, 1) == 0); /* so that it may look at its own descriptors */
}

static void other_users_are_kept_out(void)
{
	int a = peer_open();
	EXPECT(send_text(a, 8, "used"), 0);
	EXPECT_TEXT(a, 8, "used");
	pid_t child = fork();
	if (child == 0) {
		become_user();
		EXPECT(reopen(a), -EBUSY);
		exit(0);
	}
	join(child);
	EXPECT(send_text(a, 8, "undisturbed"), 0);
	EXPECT_TEXT(a, 8, "undisturbed");
}

/* As a virus scanner does that looks at each file on its way to whoever opens it. */
static void what_root_only_opened_gives_way(void)
{
	int a = peer_open();
	pid_t child = fork();
	if (child == 0) {
		become_user();
		int b = reopen(a);
		CHECK(b >= 0);
		EXPECT(send_text(b, 8, "mine"), 0);
		EXPECT_TEXT(b, 8, "mine");
		/* whose pool this user can read by now */
		EXPECT(send_text(a, 8, "yours"), -EBUSY);
		struct bus1_cmd_handle_transfer transfer = { .src_handle = 8, .dst_fd = a };
		EXPECT(command(b, BUS1_CMD_HANDLE_TRANSFER, &transfer), -EBUSY);
		exit(0);
	}
	join(child);
	EXPECT(send_text(a, 8, "late"), -EBUSY);
}

static volatile bool stop;

/* A write holds the inode's lock while it waits for the daemon. */
static void *write_all_the_time(void *peer)
{
	while (!stop) EXPECT(result(write(*(int *)peer, "x", 1)), -EINVAL);
	return NULL;
}

static void *send_all_the_time(void *peer)
{
	while (!stop) {
		EXPECT(send_text(*(int *)peer, 32, "x"), 0);
		EXPECT_TEXT(*(int *)peer, 32, "x");
	}
	return NULL;
}

/* Two threads ask all the time which sibling is meant; what the others do meanwhile waits, and nothing is lost. */
static void *give_all_the_time(void *ends)
{
	int a = ((int *)ends)[0], b = ((int *)ends)[1];
	for (int i = 0; i < 300; i++) {
		__u64 handle = give(a, 8, b);
		EXPECT(send_text(b, handle, "home"), 0);
		EXPECT_TEXT(a, 8, "home");
		EXPECT(release(b, handle), 0);
		EXPECT_NOTE(a, NODE_RELEASE, 8);
	}
	return NULL;
}

static void *ask_all_the_time(void *ends)
{
	while (!stop) {
		__u64 handle = give(((int *)ends)[0], 8, ((int *)ends)[1]);
		EXPECT(release(((int *)ends)[1], handle), 0);
		EXPECT_NOTE(((int *)ends)[0], NODE_RELEASE, 8);
	}
	return NULL;
}

static void asked_for_under_load(void)
{
	int peers[5] = { peer_open() };
	for (int i = 1; i < 5; i++) CHECK((peers[i] = reopen(peers[0])) >= 0);
	pthread_t load[2], givers[2];
	pthread_create(&load[0], NULL, write_all_the_time, &peers[0]);
	pthread_create(&load[1], NULL, send_all_the_time, &peers[0]);
	pthread_create(&givers[0], NULL, give_all_the_time, &peers[1]);
	pthread_create(&givers[1], NULL, give_all_the_time, &peers[3]);
	for (int i = 0; i < 2; i++) pthread_join(givers[i], NULL);
	stop = true;
	for (int i = 0; i < 2; i++) pthread_join(load[i], NULL);
}

/* Other threads ask which sibling is meant; what one thread does meanwhile is done in its order. */
static void what_waits_for_an_answer_keeps_its_order(void)
{
	int peers[4] = { peer_open() }, watcher = peer_open();
	for (int i = 1; i < 4; i++) CHECK((peers[i] = reopen(peers[0])) >= 0);
	pthread_t askers[2];
	stop = false;
	for (int i = 0; i < 2; i++) pthread_create(&askers[i], NULL, ask_all_the_time, &peers[2 * i]);
	for (int i = 0; i < 1000; i++) {
		int b = peer_open();
		__u64 handle = give(b, 8, watcher);
		close(b); /* which is not waited for */
		EXPECT_NOTE(watcher, NODE_DESTROY, handle);
		EXPECT(release(watcher, handle), 0);
	}
	stop = true;
	for (int i = 0; i < 2; i++) pthread_join(askers[i], NULL);
}

static void a_close_after_it_is_the_last_one(void)
{
	int a = peer_open(), b = reopen(a), c = reopen(a), watcher = peer_open();
	__u64 handle;
	for (int i = 0; i < 100; i++) {
		give(c, 8, watcher);
		EXPECT(transfer(b, 8 * (i + 1), c, &handle), 0);
		close(c);
		EXPECT_NOTE(b, NODE_RELEASE, 8 * (i + 1));
		struct bus1_cmd_recv recv;
		EXPECT(recv_message(watcher, &recv), 0);
		EXPECT(recv.msg.type, BUS1_MSG_NODE_DESTROY);
		CHECK((c = reopen(a)) >= 0);
	}
}

MAIN(CASE(each_is_a_peer), CASE(slices_are_disjoint_in_the_one_pool), CASE(the_pool_outlives_who_made_it),
     CASE(other_users_are_kept_out), CASE(what_root_only_opened_gives_way), CASE(asked_for_under_load),
     CASE(what_waits_for_an_answer_keeps_its_order), CASE(a_close_after_it_is_the_last_one))
