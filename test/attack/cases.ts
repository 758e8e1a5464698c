/** One attack, a case of a C program, and what it must not bring about beside what no attack may. */
export interface Attack {
  readonly program: 'memory' | 'descriptors' | 'processes' | 'limits' | 'memory32';
  readonly name: string;
  /** What must hold for others than the bystander; the program looks at it. */
  readonly must: string;
  /** Options of the daemon. */
  readonly options?: readonly string[];
  /** The daemon may use so much memory, in MiB. */
  readonly memory?: number;
  /** It needs a bus that nobody else uses, and looks itself for a bystander. */
  readonly isAlone?: boolean;
  /** What happens to the daemon meanwhile: it is told to end, or its engine is killed. */
  readonly daemon?: 'ends' | 'dies';
  /** How long it may go on, in ms, if it is not the usual. */
  readonly limit?: number;
}

const NOBODY_WAITS = 'nobody else waits';

export const ATTACKS: readonly Attack[] = [
  { program: 'memory', name: 'pages_that_never_come', must: NOBODY_WAITS },
  { program: 'memory', name: 'pages_that_come_late', must: NOBODY_WAITS },
  { program: 'memory', name: 'plain_memory_behind_a_lock', must: NOBODY_WAITS },
  { program: 'memory', name: 'pages_of_a_page_server', must: NOBODY_WAITS },
  { program: 'memory', name: 'large_payloads', must: NOBODY_WAITS },
  { program: 'memory', name: 'a_large_payload_arrives', must: 'it arrives' },
  { program: 'memory32', name: 'a_large_payload_arrives', must: 'it arrives' },
  { program: 'memory', name: 'a_service_of_others', must: 'others can send to it' },
  { program: 'memory', name: 'many_users', must: 'others can send' },
  { program: 'memory', name: 'another_file_system', must: 'it can be read afterwards' },
  { program: 'memory', name: 'a_call_that_runs_again', must: 'no request is lost', isAlone: true, limit: 8000 },
  { program: 'descriptors', name: 'a_flush_that_never_ends', must: 'the file is received' },
  { program: 'descriptors', name: 'an_innocent_receiver', must: 'the file is received' },
  { program: 'descriptors', name: 'record_locks', must: 'they stay' },
  { program: 'descriptors', name: 'a_file_of_a_private_mount', must: 'it is received' },
  { program: 'descriptors', name: 'sockets_that_linger', must: 'files of others are closed' },
  { program: 'descriptors', name: 'more_files_than_can_be_closed', must: 'files of others are closed' },
  { program: 'descriptors', name: 'rings', must: 'EOPNOTSUPP' },
  { program: 'descriptors', name: 'a_file_server_in_a_message', must: 'EOPNOTSUPP' },
  { program: 'descriptors', name: 'a_socket_that_is_locked', must: NOBODY_WAITS },
  { program: 'descriptors', name: 'a_crowded_table', must: NOBODY_WAITS },
  { program: 'descriptors', name: 'a_stack_that_never_comes', must: NOBODY_WAITS },
  { program: 'descriptors', name: 'a_receiver_behind_a_lock', must: NOBODY_WAITS },
  { program: 'descriptors', name: 'a_receiver_that_rewrites_itself', must: NOBODY_WAITS },
  { program: 'processes', name: 'another_program_in_its_place', must: 'nothing is written to it', limit: 10_000 },
  { program: 'processes', name: 'a_program_that_does_not_start', must: NOBODY_WAITS },
  { program: 'processes', name: 'receivers_that_are_stopped', must: NOBODY_WAITS },
  { program: 'processes', name: 'receivers_that_are_traced', must: 'they live' },
  { program: 'processes', name: 'receivers_that_are_frozen', must: 'they live' },
  { program: 'processes', name: 'a_receiver_that_cannot_be_reaped', must: NOBODY_WAITS },
  { program: 'limits', name: 'peers', must: 'others can open some', limit: 12_000 },
  { program: 'limits', name: 'held_bytes', must: 'EDQUOT', memory: 512, limit: 8000 },
  { program: 'limits', name: 'a_service', must: 'others can send to another of that user', limit: 12_000 },
  { program: 'limits', name: 'many_ids', must: NOBODY_WAITS },
  { program: 'limits', name: 'many_nodes', must: NOBODY_WAITS },
  { program: 'limits', name: 'colliding_ids', must: 'as fast as others', isAlone: true, limit: 8000 },
  { program: 'limits', name: 'many_waiters', must: 'SEND takes less than 1 ms', limit: 15_000 },
  { program: 'limits', name: 'many_groups', must: 'as with few' },
  { program: 'limits', name: 'names', must: NOBODY_WAITS },
  { program: 'memory', name: 'pages_that_never_come', must: 'the daemon ends in time', daemon: 'ends' },
  { program: 'descriptors', name: 'more_files_than_can_be_closed', must: 'the daemon ends in time', daemon: 'ends' },
  { program: 'memory', name: 'pages_that_never_come', must: 'the mount is served again', daemon: 'dies' },
  { program: 'processes', name: 'an_engine_that_dies', must: 'the mount is served again', daemon: 'dies' },
];

/** How an attack is called in tables and on the command line. */
export const titleOf = ({ program, name, daemon }: Attack): string =>
  `${program}/${name}${daemon === undefined ? '' : `/daemon-${daemon}`}`;

/** What does not hold, and why. Whoever makes it hold takes it from here. */
export const NOT_YET: Readonly<Record<string, string>> = {
  'memory/large_payloads':
    'what was staged is copied on, and memory given back, on the sequencing thread; a seed counts nowhere',
  'memory/many_users': 'all hands of all users are waited for in turn, and there is an end to them',
  'memory/a_call_that_runs_again': 'requests that identify() sets aside are not looked for before the next wait',
  'descriptors/a_file_of_a_private_mount': 'statx() fails with EACCES there, which is taken for a closed descriptor',
  'descriptors/a_file_server_in_a_message': '/dev/fuse is taken into messages',
  'descriptors/a_socket_that_is_locked':
    'sendmsg() on the sequencing thread, to what has the number of a socket by now',
  'descriptors/a_crowded_table': 'the descriptors of a client are counted one by one on the sequencing thread',
  'descriptors/a_stack_that_never_comes': 'installing reads memory on the sequencing thread',
  'descriptors/a_receiver_behind_a_lock': 'installing reads memory on the sequencing thread',
  'descriptors/a_receiver_that_rewrites_itself': 'a tracee is waited for on the sequencing thread',
  'processes/a_program_that_does_not_start': 'PTRACE_SEIZE on the sequencing thread',
  'processes/receivers_that_are_frozen': 'a tracee is waited for on the sequencing thread',
  'processes/a_receiver_that_cannot_be_reaped': 'a tracee is waited for on the sequencing thread',
  'limits/peers': 'thousands of opens and closes at once are served before those of others',
  'limits/many_ids': 'a call with many ids takes its time, and so do as many as a user makes',
  'limits/many_nodes': 'one call of 2026 may make a million of objects',
  'limits/many_waiters': 'all who wait are woken on the sequencing thread',
  'memory/pages_that_never_come/daemon-dies': '/dev/fuse does not wait where the engine that died left it so',
  'limits/many_groups': '/proc/TID/status is longer than the buffer for it',
};
