/* For 32-bit programs: struct iovec has half the size there, and all else is the same. Contract, head. */
#include "bus1-test.h"
#include <sys/stat.h>
#include <sys/sysmacros.h>

static void vectors_are_half_as_large(void)
{
	int a = peer_open(), b = peer_open(), errors[1] = { -1 };
	__u64 handle = give(b, 8, a), carried = 16;
	struct bus1_cmd_recv recv;
	struct iovec vecs[1024];
	char payload[1024];
	for (int i = 0; i < 1024; i++) payload[i] = i * 3, vecs[i] = (struct iovec){ payload + i, 1 };
	struct bus1_cmd_send send = {
		.flags = BUS1_SEND_FLAG_CONTINUE,
		.ptr_destinations = (uintptr_t)&handle,
		.n_destinations = 1,
		.ptr_errors = (uintptr_t)errors,
		.ptr_vecs = (uintptr_t)vecs,
		.n_vecs = 1024,
		.ptr_handles = (uintptr_t)&carried,
		.n_handles = 1,
	};
	EXPECT(sizeof *vecs, 8);
	EXPECT(command(a, BUS1_CMD_SEND, &send), 0);
	EXPECT(errors[0], 0);
	const uint8_t *map = mmap(NULL, 1 << 20, PROT_READ, MAP_SHARED, b, 0);
	CHECK(map != MAP_FAILED);
	EXPECT(recv_message(b, &recv), 0);
	EXPECT(recv.msg.n_bytes, 1024);
	EXPECT(memcmp(map + recv.msg.offset, payload, 1024), 0);
	EXPECT(recv.msg.pid, getpid());
	memcpy(&carried, map + recv.msg.offset + 1024, 8);
	EXPECT(carried, 1 << 3 | 3);
	vecs[5].iov_len = -1;
	EXPECT(command(a, BUS1_CMD_SEND, &send), -EMSGSIZE);
	vecs[5] = (struct iovec){ (void *)BAD_POINTER, 1 };
	EXPECT(command(a, BUS1_CMD_SEND, &send), -EFAULT);
	send.ptr_vecs = BAD_POINTER;
	EXPECT(command(a, BUS1_CMD_SEND, &send), -EFAULT);
	EXPECT(disconnect(b), 0);
	EXPECT_NOTE(a, NODE_DESTROY, handle);
}

static void descriptors_go_out_but_not_in(void)
{
	int a = peer_open(), fd = open("/dev/null", O_RDONLY);
	struct bus1_cmd_recv recv;
	__u64 own = 8;
	struct bus1_cmd_send send = { .ptr_destinations = (uintptr_t)&own, .n_destinations = 1, .ptr_fds = (uintptr_t)&fd, .n_fds = 1 };
	EXPECT(command(a, BUS1_CMD_SEND, &send), 0);
	EXPECT(recv_flags(a, &recv, BUS1_RECV_FLAG_INSTALL_FDS), -EOPNOTSUPP);
	EXPECT(recv_message(a, &recv), 0);
	EXPECT(recv.msg.n_fds, 1);
}

static uint8_t buffer[512];

/* The file type that a system call has put into the buffer at that byte, where its structure has the mode. */
static int type_at(size_t at, long r)
{
	return r < 0 ? -errno : (buffer[at] | buffer[at + 1] << 8) & S_IFMT;
}

/* By every system call that asks for it, whichever the C library uses. */
static void stat_tells_a_character_device(void)
{
	struct stat st;
	EXPECT(type_at(8, syscall(SYS_stat, device, buffer)), S_IFCHR);
	EXPECT(type_at(8, syscall(SYS_lstat, device, buffer)), S_IFCHR);
	EXPECT(type_at(16, syscall(SYS_stat64, device, buffer)), S_IFCHR);
	EXPECT(type_at(16, syscall(SYS_lstat64, device, buffer)), S_IFCHR);
	EXPECT(type_at(16, syscall(SYS_fstatat64, AT_FDCWD, device, buffer, 0)), S_IFCHR);
	EXPECT(type_at(28, syscall(SYS_statx, AT_FDCWD, device, 0, STATX_TYPE, buffer)), S_IFCHR);
	CHECK(stat(device, &st) == 0);
	EXPECT(st.st_mode & S_IFMT, S_IFCHR);
	EXPECT(major(st.st_rdev), 10);
}

MAIN(CASE(vectors_are_half_as_large), CASE(descriptors_go_out_but_not_in),
     CASE(stat_tells_a_character_device))
