/* Sends from memory whose page fault is never answered: hanging DEVICE FILE. It never returns from the call by itself. */
#include "bus1-test.h"

int main(int argc, char **argv)
{
	CHECK(argc == 3);
	device = argv[1];
	int peer = peer_open(), file = open(argv[2], O_RDONLY);
	CHECK(file >= 0);
	void *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
	CHECK(map != MAP_FAILED);
	CHECK(pool(peer)); /* a mapping of the bus itself, which must survive what becomes of the other */
	__u64 own = 8;
	puts("sending");
	fflush(stdout);
	printf("%d\n", send_message(peer, &(struct message){ .destinations = &own, .n_destinations = 1, .payload = map, .size = 100 }));
	return 0;
}
