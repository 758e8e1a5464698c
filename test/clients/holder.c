/*
 * Keeps a peer open for tests of the daemon: one node, one message queued to it.
 *
 *   holder DEVICE poll      says "ready", waits in poll for an error, and ends with 0 if it gets one
 *   holder DEVICE pause     says "ready" and waits for a signal
 *   holder DEVICE stay      says "ready", waits for the end of its input, and prints what it received before, and what QUERY and SEND say
 *   holder DEVICE query     prints its limits
 *   holder DEVICE overfill  sends to itself until that fails, and once more, and prints both errors
 */
#include "bus1-test.h"

int main(int argc, char **argv)
{
	CHECK(argc == 3);
	device = argv[1];
	int peer = peer_open();
	if (!strcmp(argv[2], "query")) {
		struct bus1_cmd_peer_reset q;
		EXPECT(query(peer, &q), 0);
		printf("%u %u %u %u\n", q.max_slices, q.max_handles, q.max_inflight_bytes, q.max_inflight_fds);
		return 0;
	}
	if (!strcmp(argv[2], "overfill")) {
		int r = 0;
		while (r == 0) r = send_text(peer, 8, "x");
		printf("%s ", strerrorname_np(-r));
		printf("%s\n", strerrorname_np(-send_text(peer, 8, "x")));
		return 0;
	}
	EXPECT(send_text(peer, 8, "waiting"), 0);
	puts("ready");
	fflush(stdout);
	if (!strcmp(argv[2], "stay")) {
		struct bus1_cmd_recv recv;
		struct bus1_cmd_peer_reset q;
		const uint8_t *map = pool(peer);
		EXPECT(recv_message(peer, &recv), 0);
		while (getchar() != EOF) continue;
		printf("%.*s ", (int)recv.msg.n_bytes, (const char *)map + recv.msg.offset);
		printf("%s %s\n", strerrorname_np(-query(peer, &q)), strerrorname_np(-send_text(peer, 8, "x")));
		return 0;
	}
	if (!strcmp(argv[2], "pause")) pause();
	struct pollfd p = { peer, 0, 0 };
	CHECK(poll(&p, 1, -1) == 1);
	return p.revents & (POLLERR | POLLHUP) ? 0 : 1;
}
