/*
 * Receives into memory whose page fault is not answered, prints what RECV said in the end, and the text of the message, which is
 * still there then.
 *
 *   bus1-2026-hanging DEVICE FILE
 */
#include "bus1-2026-test.h"

int main(int argc, char **argv)
{
	CHECK(argc == 3);
	device = argv[1];
	int file = open(argv[2], O_RDONLY), peer = peer_open();
	CHECK(file >= 0);
	void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	CHECK(map != MAP_FAILED);
	struct pair p = create(peer, SELF);
	EXPECT(post(peer, p.handle, "still there"), 0);
	puts("receiving");
	fflush(stdout);
	struct iovec vec = { map, 100 };
	struct bus1_metadata metadata;
	struct bus1_message message = {
		.type = BUS1_INVALID,
		.n_data = 100,
		.n_data_vecs = 1,
		.ptr_data_vecs = BUS1_FROM_PTR(&vec),
	};
	puts(strerrorname_np(-take_message(peer, &metadata, &message)));
	struct received r;
	EXPECT(take(peer, &r), 0);
	printf("%.*s\n", (int)r.message.n_data, r.text);
	return 0;
}
