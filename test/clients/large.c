/* Large payloads; needs a mount that allows as many bytes in flight as can be said. */
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

/* More than one system call copies: 2^31 bytes less a page. What is sent was never written, and so takes no memory. */
static void to_many_at_once(void)
{
	enum { N = 5,
	       SIZE = 429496728 };
	int a = peer_open(), peers[N];
	__u64 handles[N];
	struct bus1_cmd_recv recv;
	uint8_t *payload = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(payload != MAP_FAILED);
	payload[0] = 'f', payload[SIZE - 1] = 'l';
	for (int i = 0; i < N; i++) handles[i] = give(peers[i] = peer_open(), 8, a);
	EXPECT(send_message(a, &(struct message){ .destinations = handles, .n_destinations = N, .payload = payload, .size = SIZE }), 0);
	for (int i = 0; i < N; i++) {
		const uint8_t *map = pool(peers[i]);
		EXPECT(recv_message(peers[i], &recv), 0);
		EXPECT(recv.msg.n_bytes, SIZE);
		EXPECT(map[recv.msg.offset], 'f');
		EXPECT(map[recv.msg.offset + SIZE / 2], 0);
		EXPECT(map[recv.msg.offset + SIZE - 1], 'l');
		EXPECT(slice_release(peers[i], recv.msg.offset), 0);
		munmap((void *)map, POOL_SIZE);
	}
}

MAIN(CASE(large_payloads), CASE(a_freed_pool_gives_its_memory_back), CASE(to_many_at_once))
