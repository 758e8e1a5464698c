/* The mounted directory and what it holds besides the device. */
#include "bus1-test.h"
#include <dirent.h>
#include <libgen.h>

struct entry {
	__u64 inode, offset;
	unsigned short length;
	unsigned char type;
	char name[];
};

static char *directory(void)
{
	char *path = strdup(device);
	CHECK(path);
	return dirname(path);
}

static int beside_the_device(const char *name)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", directory(), name);
	return result(open(path, O_RDONLY | O_CLOEXEC));
}

/* How often a name is listed by getdents64 with a buffer of that size; -EINVAL if that is too small for an entry. */
static int listed(const char *name, size_t size)
{
	int fd = open(directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), count = 0;
	char buffer[4096] __attribute__((aligned(8)));
	CHECK(fd >= 0);
	for (;;) {
		int n = result(syscall(SYS_getdents64, fd, buffer, size));
		if (n < 0) count = n;
		if (n <= 0) break;
		for (int at = 0; at < n;) {
			struct entry *entry = (struct entry *)(buffer + at);
			if (!strcmp(entry->name, name)) count++;
			at += entry->length;
		}
	}
	close(fd);
	return count;
}

static void a_small_buffer_lists_every_name_once(void)
{
	static const char *const names[] = { "bus1", "status" };
	size_t least = 8;
	while (listed(names[0], least) == -EINVAL || listed(names[1], least) == -EINVAL) least += 8;
	CHECK(least <= 64);
	for (size_t size = least; size <= 256; size += 8)
		for (int i = 0; i < 2; i++) EXPECT(listed(names[i], size), 1);
	EXPECT(listed(names[0], 4096), 1);
	EXPECT(listed("nonsense", 4096), 0);
}

static void a_listing_goes_on_where_it_was_left(void)
{
	DIR *stream = opendir(directory());
	long places[64];
	char names[64][256];
	int n = 0;
	struct dirent *entry;
	CHECK(stream);
	while (places[n] = telldir(stream), entry = readdir(stream)) strcpy(names[n++], entry->d_name);
	CHECK(n >= 2);
	for (int i = n - 1; i >= 0; i--) {
		seekdir(stream, places[i]);
		for (int j = i; j < n; j++) {
			CHECK((entry = readdir(stream)));
			EXPECT(strcmp(entry->d_name, names[j]), 0);
		}
		CHECK(!readdir(stream));
	}
	closedir(stream);
}

/* Whatever the kernel is told of poll on a text, it must go on asking for peers. */
static void poll_of_a_text_leaves_peers_alone(void)
{
	int a = peer_open(), b = peer_open(), fd = beside_the_device("status");
	CHECK(fd >= 0);
	CHECK(poll_now(fd) & POLLIN);
	EXPECT(poll_now(b), IDLE);
	EXPECT(send_text(a, give(b, 8, a), "x"), 0);
	EXPECT(poll_now(b), READABLE);
	EXPECT_TEXT(b, 8, "x");
	EXPECT(poll_now(b), IDLE);
}

MAIN(CASE(a_small_buffer_lists_every_name_once), CASE(a_listing_goes_on_where_it_was_left),
     CASE(poll_of_a_text_leaves_peers_alone))
