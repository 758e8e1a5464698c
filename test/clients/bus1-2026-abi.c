/* Prints every number of linux/bus1-2026.h as the compiler sees it, "NAME VALUE" a line. */
#include <stddef.h>
#include <stdio.h>
#include <linux/bus1-2026.h>

#define VALUE(name) printf("%s %llu\n", #name, (unsigned long long)(name))
#define SIZE(type) printf("%s.sizeof %zu\n", #type, sizeof(struct type))
#define FIELD(type, field) printf("%s.%s %zu\n", #type, #field, offsetof(struct type, field))

int main(void)
{
	VALUE(BUS1_INVALID);
	VALUE(BUS1_MANAGED);
	VALUE(BUS1_TRANSFER_FLAG_CREATE);
	VALUE(BUS1_MESSAGE_TYPE_USER);
	VALUE(BUS1_MESSAGE_TYPE_NODE_RELEASE);
	VALUE(BUS1_MESSAGE_TYPE_HANDLE_RELEASE);
	VALUE(_BUS1_MESSAGE_TYPE_N);
	VALUE(BUS1_CMD_TRANSFER);
	VALUE(BUS1_CMD_RELEASE);
	VALUE(BUS1_CMD_SEND);
	VALUE(BUS1_CMD_RECV);
	SIZE(bus1_transfer);
	FIELD(bus1_transfer, flags);
	FIELD(bus1_transfer, id);
	SIZE(bus1_metadata);
	FIELD(bus1_metadata, flags);
	FIELD(bus1_metadata, id);
	FIELD(bus1_metadata, account);
	SIZE(bus1_message);
	FIELD(bus1_message, flags);
	FIELD(bus1_message, type);
	FIELD(bus1_message, n_transfers);
	FIELD(bus1_message, ptr_transfers);
	FIELD(bus1_message, n_data);
	FIELD(bus1_message, n_data_vecs);
	FIELD(bus1_message, ptr_data_vecs);
	SIZE(bus1_cmd_transfer);
	FIELD(bus1_cmd_transfer, flags);
	FIELD(bus1_cmd_transfer, to);
	FIELD(bus1_cmd_transfer, n_transfers);
	FIELD(bus1_cmd_transfer, ptr_src);
	FIELD(bus1_cmd_transfer, ptr_dst);
	SIZE(bus1_cmd_release);
	FIELD(bus1_cmd_release, flags);
	FIELD(bus1_cmd_release, n_ids);
	FIELD(bus1_cmd_release, ptr_ids);
	SIZE(bus1_cmd_send);
	FIELD(bus1_cmd_send, flags);
	FIELD(bus1_cmd_send, n_destinations);
	FIELD(bus1_cmd_send, ptr_destinations);
	FIELD(bus1_cmd_send, ptr_errors);
	FIELD(bus1_cmd_send, ptr_message);
	SIZE(bus1_cmd_recv);
	FIELD(bus1_cmd_recv, flags);
	FIELD(bus1_cmd_recv, ptr_metadata);
	FIELD(bus1_cmd_recv, ptr_message);
	return 0;
}
