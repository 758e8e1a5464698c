/*
 * Sends from memory whose page fault is not answered, in so many processes at once, and prints what each SEND said in the end.
 *
 *   hanging DEVICE FILE COUNT
 */
#include "bus1-test.h"

int main(int argc, char **argv)
{
	CHECK(argc == 4);
	device = argv[1];
	int file = open(argv[2], O_RDONLY), count = atoi(argv[3]);
	CHECK(file >= 0);
	void *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
	CHECK(map != MAP_FAILED);
	puts("sending");
	fflush(stdout);
	for (int i = 0; i < count; i++) {
		if (fork() > 0) continue;
		int peer = peer_open();
		__u64 own = 8;
		CHECK(pool(peer)); /* a mapping of the bus itself, which must survive what becomes of the other */
		int r = send_message(peer, &(struct message){ .destinations = &own, .n_destinations = 1, .payload = map, .size = 100 });
		printf("%s\n", r < 0 ? strerrorname_np(-r) : "ok");
		exit(0);
	}
	for (int i = 0; i < count; i++) CHECK(wait(NULL) > 0);
	return 0;
}
