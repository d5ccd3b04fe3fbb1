import { fault, invalidArgument, quote } from "../../lib/faults.ts";
import type { UserSpec } from "./runtime-spec.ts";

/** Reads a small file of an image's root; undefined when it has none. */
export type FileReader = (path: string) => string | undefined;

interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/** runc takes ids up to here. Source: containerd pkg/oci/spec_opts.go, WithUser. */
const maxId = 0x7fffffff;

/**
 * Who a process runs as.
 * Shape: `user` is `NAME`, `UID`, and either with `:GROUP` or `:GID`; empty means root. Names and the supplementary
 * groups come from the image's /etc/passwd and /etc/group.
 * Errors: invalidArgument (malformed, or an id out of range), notFound (a name that the image does not know).
 */
export function resolveUser(user: string, read: FileReader): UserSpec {
  const [who = "", group, ...rest] = (user === "" ? "0" : user).split(":");
  if (rest.length > 0) throw invalidArgument(`user ${quote(user)} has more than one colon`);
  const passwd = passwdEntries(read("/etc/passwd") ?? "");
  const groups = groupEntries(read("/etc/group") ?? "");
  const uid = numericId(who, user);
  const entry = passwd.find((candidate) => (uid === undefined ? candidate.name === who : candidate.uid === uid));
  if (uid === undefined && entry === undefined)
    throw fault("notFound", `user ${quote(who)} in the image's /etc/passwd`);
  const gid = group === undefined || group === "" ? (entry?.gid ?? 0) : groupId(group, user, groups);
  const spec: UserSpec = { uid: uid ?? entry?.uid ?? 0, gid };
  const added = supplementary(groups, entry?.name, gid);
  return { ...spec, additionalGids: [gid, ...added] };
}

function groupId(group: string, user: string, groups: readonly GroupEntry[]): number {
  const gid = numericId(group, user) ?? groups.find(({ name }) => name === group)?.gid;
  if (gid === undefined) throw fault("notFound", `group ${quote(group)} in the image's /etc/group`);
  return gid;
}

function supplementary(groups: readonly GroupEntry[], name: string | undefined, own: number): number[] {
  if (name === undefined) return [];
  const ids = groups.filter((group) => group.name !== name && group.members.includes(name)).map(({ gid }) => gid);
  return [...new Set(ids)].filter((gid) => gid !== own);
}

function numericId(text: string, whole: string): number | undefined {
  if (!/^[0-9]+$/.test(text)) {
    if (text === "" || text.startsWith("-")) throw invalidArgument(`user ${quote(whole)} is malformed`);
    return undefined;
  }
  const id = Number(text);
  if (id > maxId) throw invalidArgument(`user ${quote(whole)}: id out of range`);
  return id;
}

function passwdEntries(text: string): PasswdEntry[] {
  return fieldsOf(text).flatMap(([name = "", , uid = "", gid = ""]) =>
    isId(uid) && isId(gid) ? [{ name, uid: Number(uid), gid: Number(gid) }] : [],
  );
}

function groupEntries(text: string): GroupEntry[] {
  return fieldsOf(text).flatMap(([name = "", , gid = "", members = ""]) =>
    isId(gid) ? [{ name, gid: Number(gid), members: members.split(",") }] : [],
  );
}

function isId(text: string): boolean {
  return /^[0-9]+$/.test(text) && Number(text) <= maxId;
}

function fieldsOf(text: string): string[][] {
  return text.split("\n").flatMap((line) => (line === "" || line.startsWith("#") ? [] : [line.trim().split(":")]));
}
