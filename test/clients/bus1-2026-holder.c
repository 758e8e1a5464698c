/*
 * Keeps three peers open, one that has not spoken yet, one of 2016 with a node, and one of 2026 with a node, two handles and a
 * message, while a command runs:
 *
 *   bus1-2026-holder DEVICE COMMAND [ARGUMENT...]
 */
#include "bus1-2026-test.h"

int main(int argc, char **argv)
{
	CHECK(argc >= 3);
	device = argv[1];
	peer_open();
	give(peer_open(), 8, -1);
	int peer = peer_open();
	struct pair p = create(peer, SELF);
	copy(peer, p.handle, SELF);
	EXPECT(post(peer, p.handle, "hello"), 0);
	pid_t child = fork();
	if (child == 0) {
		execvp(argv[2], argv + 2);
		_exit(127);
	}
	join(child);
	return 0;
}
