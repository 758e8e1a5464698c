/* Large payloads; needs a mount that allows 128 MiB in flight. */
#include "bus1-test.h"

static void large_payloads(void)
{
	int a = peer_open(), b = peer_open();
	struct bus1_cmd_recv recv;
	__u64 handle = give(b, 8, a);
	const uint8_t *map = pool(b);
	for (size_t size = 1 << 16; size <= 64 << 20; size *= 4) {
		uint8_t *payload = malloc(size);
		for (size_t i = 0; i < size; i++) payload[i] = i * 31 + (i >> 12);
		EXPECT(send_message(a, &(struct message){ .destinations = &handle, .n_destinations = 1, .payload = payload, .size = size }), 0);
		EXPECT(recv_message(b, &recv), 0);
		EXPECT(recv.msg.n_bytes, size);
		EXPECT(memcmp(map + recv.msg.offset, payload, size), 0);
		EXPECT(slice_release(b, recv.msg.offset), 0);
		free(payload);
	}
}

static void a_freed_pool_gives_its_memory_back(void)
{
	enum { SIZE = 32 << 20 };
	int a = peer_open();
	__u64 own = 8;
	struct bus1_cmd_recv recv;
	char *payload = malloc(SIZE);
	memset(payload, 'x', SIZE);
	EXPECT(send_message(a, &(struct message){ .destinations = &own, .n_destinations = 1, .payload = payload, .size = SIZE }), 0);
	EXPECT(recv_message(a, &recv), 0);
	const uint8_t *map = pool(a);
	EXPECT(map[recv.msg.offset + SIZE - 1], 'x');
	EXPECT(slice_release(a, recv.msg.offset), 0);
	EXPECT(map[recv.msg.offset + SIZE - 1], 0);
}

MAIN(CASE(large_payloads), CASE(a_freed_pool_gives_its_memory_back))
