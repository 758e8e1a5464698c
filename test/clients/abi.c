/* Prints every number of the interface as the compiler sees it, "NAME VALUE" a line. It is also clean C++. */
#include <stddef.h>
#include <stdio.h>
#include <linux/bus1.h>

#define VALUE(name) printf("%s %llu\n", #name, (unsigned long long)(name))
#define SIZE(type) printf("%s.sizeof %zu\n", #type, sizeof(struct type))
#define FIELD(type, field) printf("%s.%s %zu\n", #type, #field, offsetof(struct type, field))

int main(void)
{
	VALUE(BUS1_FD_MAX);
	VALUE(BUS1_HANDLE_INVALID);
	VALUE(BUS1_OFFSET_INVALID);
	VALUE(BUS1_HANDLE_FLAG_MANAGED);
	VALUE(BUS1_HANDLE_FLAG_REMOTE);
	VALUE(BUS1_PEER_FLAG_WANT_SECCTX);
	VALUE(BUS1_PEER_RESET_FLAG_FLUSH);
	VALUE(BUS1_PEER_RESET_FLAG_FLUSH_SEED);
	VALUE(BUS1_NODES_DESTROY_FLAG_RELEASE_HANDLES);
	VALUE(BUS1_SEND_FLAG_CONTINUE);
	VALUE(BUS1_SEND_FLAG_SEED);
	VALUE(BUS1_RECV_FLAG_PEEK);
	VALUE(BUS1_RECV_FLAG_SEED);
	VALUE(BUS1_RECV_FLAG_INSTALL_FDS);
	VALUE(BUS1_MSG_FLAG_HAS_SECCTX);
	VALUE(BUS1_MSG_FLAG_CONTINUE);
	VALUE(BUS1_MSG_NONE);
	VALUE(BUS1_MSG_DATA);
	VALUE(BUS1_MSG_NODE_DESTROY);
	VALUE(BUS1_MSG_NODE_RELEASE);
	VALUE(BUS1_CMD_PEER_DISCONNECT);
	VALUE(BUS1_CMD_PEER_QUERY);
	VALUE(BUS1_CMD_PEER_RESET);
	VALUE(BUS1_CMD_HANDLE_RELEASE);
	VALUE(BUS1_CMD_HANDLE_TRANSFER);
	VALUE(BUS1_CMD_NODES_DESTROY);
	VALUE(BUS1_CMD_SLICE_RELEASE);
	VALUE(BUS1_CMD_SEND);
	VALUE(BUS1_CMD_RECV);
	SIZE(bus1_cmd_peer_reset);
	FIELD(bus1_cmd_peer_reset, flags);
	FIELD(bus1_cmd_peer_reset, peer_flags);
	FIELD(bus1_cmd_peer_reset, max_slices);
	FIELD(bus1_cmd_peer_reset, max_handles);
	FIELD(bus1_cmd_peer_reset, max_inflight_bytes);
	FIELD(bus1_cmd_peer_reset, max_inflight_fds);
	SIZE(bus1_cmd_handle_transfer);
	FIELD(bus1_cmd_handle_transfer, flags);
	FIELD(bus1_cmd_handle_transfer, src_handle);
	FIELD(bus1_cmd_handle_transfer, dst_fd);
	FIELD(bus1_cmd_handle_transfer, dst_handle);
	SIZE(bus1_cmd_nodes_destroy);
	FIELD(bus1_cmd_nodes_destroy, flags);
	FIELD(bus1_cmd_nodes_destroy, ptr_nodes);
	FIELD(bus1_cmd_nodes_destroy, n_nodes);
	SIZE(bus1_cmd_send);
	FIELD(bus1_cmd_send, flags);
	FIELD(bus1_cmd_send, ptr_destinations);
	FIELD(bus1_cmd_send, ptr_errors);
	FIELD(bus1_cmd_send, n_destinations);
	FIELD(bus1_cmd_send, ptr_vecs);
	FIELD(bus1_cmd_send, n_vecs);
	FIELD(bus1_cmd_send, ptr_handles);
	FIELD(bus1_cmd_send, n_handles);
	FIELD(bus1_cmd_send, ptr_fds);
	FIELD(bus1_cmd_send, n_fds);
	SIZE(bus1_cmd_recv);
	FIELD(bus1_cmd_recv, flags);
	FIELD(bus1_cmd_recv, max_offset);
	FIELD(bus1_cmd_recv, msg.type);
	FIELD(bus1_cmd_recv, msg.flags);
	FIELD(bus1_cmd_recv, msg.destination);
	FIELD(bus1_cmd_recv, msg.uid);
	FIELD(bus1_cmd_recv, msg.gid);
	FIELD(bus1_cmd_recv, msg.pid);
	FIELD(bus1_cmd_recv, msg.tid);
	FIELD(bus1_cmd_recv, msg.offset);
	FIELD(bus1_cmd_recv, msg.n_bytes);
	FIELD(bus1_cmd_recv, msg.n_handles);
	FIELD(bus1_cmd_recv, msg.n_fds);
	FIELD(bus1_cmd_recv, msg.n_secctx);
	return 0;
}
