import { describe, expect, test } from 'vitest';
import { NameFlag, PolicyAccessType, PolicyType } from '../../../../src/kdbus/kdbus-abi.js';
import { Claim, ClaimedName } from '../../../../src/kdbus/model/name-claim.js';
import { mayOwn, mayTalk, type Party, rolesOf, seesName, seesParty } from '../../../../src/kdbus/model/policy.js';
import { PolicyDatabase } from '../../../../src/kdbus/model/policy-database.js';

const { SEE, TALK, OWN } = PolicyType;
const LEVELS = [undefined, SEE, TALK, OWN] as const;
type Level = (typeof LEVELS)[number];

const BUS_UID = 7;
const NAME = 'foo.bar';

/** What grants user 1 this level of NAME. */
function policy(level: Level): PolicyDatabase {
  const database = new PolicyDatabase();
  const accesses = level === undefined ? [] : [{ type: PolicyAccessType.USER, level, id: 1 }];
  database.replace({}, [{ name: NAME, isWildcard: false, accesses }]);
  return database;
}

function party(uid: number, options: { endpoint?: PolicyDatabase; owns?: string[]; waitsFor?: string[] } = {}): Party {
  const { endpoint, owns = [], waitsFor = [] } = options;
  const claims = new Map<string, Claim<unknown>>();
  for (const text of owns) claims.set(text, new Claim({}, new ClaimedName(text), NameFlag.PRIMARY));
  for (const text of waitsFor) claims.set(text, new Claim({}, new ClaimedName(text), NameFlag.IN_QUEUE));
  const { isOwner } = rolesOf({ euid: uid, hasIpcOwner: false }, BUS_UID, endpoint !== undefined);
  return { opener: { uid, euid: uid, egid: uid, groups: [] }, isOwner, endpointPolicy: endpoint, claims };
}

const user = (uid: number) => ({ euid: uid, egid: uid, groups: [] });

describe('roles', () => {
  test.each([
    [{ euid: BUS_UID, hasIpcOwner: false }, false, { isPrivileged: false, isOwner: true }],
    [{ euid: 1, hasIpcOwner: true }, false, { isPrivileged: true, isOwner: true }],
    [{ euid: 1, hasIpcOwner: false }, false, { isPrivileged: false, isOwner: false }],
    [{ euid: BUS_UID, hasIpcOwner: true }, true, { isPrivileged: false, isOwner: false }],
  ])('of %j, on a custom endpoint: %j', (opener, isCustom, roles) => {
    expect(rolesOf(opener, BUS_UID, isCustom)).toEqual(roles);
  });
});

describe('OWN', () => {
  test.each(LEVELS)('on the default endpoint with level %s of the bus', (bus) => {
    expect(mayOwn(party(BUS_UID), user(BUS_UID), NAME, policy(bus))).toBe(true);
    expect(mayOwn(party(1), user(1), NAME, policy(bus))).toBe(bus === OWN);
    expect(mayOwn(party(1), user(2), NAME, policy(bus))).toBe(false);
    expect(mayOwn(party(2), user(1), NAME, policy(bus))).toBe(bus === OWN);
    expect(mayOwn(party(1), user(1), 'foo.baz', policy(bus))).toBe(false);
  });

  test.each(LEVELS.flatMap((endpoint) => LEVELS.map((bus) => [endpoint, bus] as const)))(
    'on a custom endpoint with level %s of that and %s of the bus',
    (endpoint, bus) => {
      const own = endpoint === OWN && bus === OWN;
      expect(mayOwn(party(1, { endpoint: policy(endpoint) }), user(1), NAME, policy(bus))).toBe(own);
      expect(mayOwn(party(BUS_UID, { endpoint: policy(endpoint) }), user(1), NAME, policy(bus))).toBe(own);
      expect(mayOwn(party(1, { endpoint: policy(endpoint) }), user(2), NAME, policy(bus))).toBe(false);
    },
  );
});

describe('TALK', () => {
  const owner = () => party(3, { owns: ['foo.other', NAME] });
  const waiting = () => party(3, { waitsFor: [NAME] });

  test.each(LEVELS)('on the default endpoint with level %s of the bus', (bus) => {
    const talks = bus !== undefined && bus >= TALK;
    expect(mayTalk(party(BUS_UID), user(BUS_UID), party(3), policy(bus))).toBe(true);
    expect(mayTalk(party(1), user(1), owner(), policy(bus))).toBe(talks);
    expect(mayTalk(party(1), user(1), waiting(), policy(bus))).toBe(false);
    expect(mayTalk(party(1), user(1), party(3), policy(bus))).toBe(false);
    expect(mayTalk(party(1), user(2), owner(), policy(bus))).toBe(false);
    expect(mayTalk(party(1), user(3), party(3), policy(bus))).toBe(true);
  });

  test.each(LEVELS.flatMap((endpoint) => LEVELS.map((bus) => [endpoint, bus] as const)))(
    'on a custom endpoint with level %s of that and %s of the bus',
    (endpoint, bus) => {
      const hasEndpoint = endpoint !== undefined && endpoint >= TALK;
      const hasBus = bus !== undefined && bus >= TALK;
      for (const uid of [1, BUS_UID]) {
        const from = party(uid, { endpoint: policy(endpoint) });
        expect(mayTalk(from, user(1), owner(), policy(bus))).toBe(hasEndpoint && hasBus);
        expect(mayTalk(from, user(1), party(1, { owns: [NAME] }), policy(bus))).toBe(hasEndpoint);
        expect(mayTalk(from, user(1), party(1), policy(bus))).toBe(false);
        expect(mayTalk(from, user(1), party(1, { waitsFor: [NAME] }), policy(bus))).toBe(false);
        expect(mayTalk(from, user(2), owner(), policy(bus))).toBe(false);
      }
    },
  );

  test('takes the effective uid of whoever asks and the real one of whom it is about', () => {
    const to: Party = { ...party(3), opener: { uid: 3, euid: 4, egid: 4, groups: [] } };
    expect(mayTalk(party(1), user(3), to, new PolicyDatabase())).toBe(true);
    expect(mayTalk(party(1), user(4), to, new PolicyDatabase())).toBe(false);
  });
});

describe('SEE', () => {
  test('is everything on the default endpoint', () => {
    expect(seesName(party(1), user(1), 'foo.hidden')).toBe(true);
    expect(seesParty(party(1), user(1), party(2))).toBe(true);
  });

  test.each(LEVELS)('is what the policy of a custom endpoint grants: level %s', (endpoint) => {
    for (const uid of [1, BUS_UID]) {
      const viewer = party(uid, { endpoint: policy(endpoint) });
      const sees = endpoint !== undefined;
      expect(seesName(viewer, user(1), NAME)).toBe(sees);
      expect(seesName(viewer, user(2), NAME)).toBe(false);
      expect(seesName(viewer, user(1), 'foo.hidden')).toBe(false);
      expect(seesParty(viewer, user(1), party(3, { owns: ['foo.hidden', NAME] }))).toBe(sees);
      expect(seesParty(viewer, user(1), party(3, { owns: ['foo.hidden'], waitsFor: [NAME] }))).toBe(false);
      expect(seesParty(viewer, user(1), viewer)).toBe(false);
    }
  });
});
