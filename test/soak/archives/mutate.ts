import { gzipSync, zstdCompressSync } from "node:zlib";
import { encodeHeader, endMark, paddingFor, plainEntry, type TarEntry } from "../../../src/lib/tar/index.ts";
import type { Random } from "./random.ts";

/** An archive that was made to do harm, and how it was made. */
export interface HostileArchive {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  readonly how: string;
}

const layerType = "application/vnd.oci.image.layer.v1.tar";
const block = 512;

/** Names that lead elsewhere, or that a careless reader takes for others. */
const evilNames: readonly string[] = [
  "../../canary",
  "../escape",
  "/etc/canary",
  "//etc//canary",
  "a/../../../escape",
  "link/escape",
  "abslink/canary",
  "chain1/escape",
  ".",
  "..",
  "",
  "/",
  "./",
  "a/",
  "a/b/../../../../x",
  ".wh...",
  ".wh..",
  ".wh..wh..opq",
  "link/.wh.canary",
  "abslink/.wh..wh..opq",
  "dev/null",
  "proc/self/root/x",
  "x\0y",
  `long/${"n".repeat(300)}`,
  `${"d/".repeat(600)}deep`,
];

const evilTargets: readonly string[] = [
  "../../../../../../../../canary",
  "/",
  "/etc/passwd",
  "..",
  "chain2",
  "link",
  "abslink/canary",
  "/proc/self/root",
  "/proc/self/cwd/../../..",
  "",
];

/** Makes an archive from the good ones by one to four changes. */
export function hostileArchive(random: Random): HostileArchive {
  const members = goodMembers(random);
  const how: string[] = [];
  for (let changes = 1 + random.below(4); changes > 0; changes--) how.push(changeMember(random, members));
  let bytes: Buffer = packed(members);
  for (let changes = random.below(3); changes > 0; changes--) {
    const [changed, name] = changeBytes(random, bytes);
    bytes = changed;
    how.push(name);
  }
  return compressed(random, bytes, how);
}

type Member = TarEntry & { readonly data: Buffer };

function member(name: string, more: Partial<TarEntry> = {}, data = ""): Member {
  const bytes = Buffer.from(data, "latin1");
  return { ...plainEntry(name, bytes.length, more), data: bytes };
}

/** Files of every kind, with links that lead out of the tree. */
function goodMembers(random: Random): Member[] {
  return [
    member("etc", { kind: "directory", mode: 0o755 }),
    member("etc/passwd", {}, "root:x:0:0\n"),
    member("link", { kind: "symlink", linkName: "../../../.." }),
    member("abslink", { kind: "symlink", linkName: "/" }),
    member("chain1", { kind: "symlink", linkName: "chain2" }),
    member("chain2", { kind: "symlink", linkName: "../chain3" }),
    member("loop", { kind: "symlink", linkName: "loop" }),
    member("hard", { kind: "hardlink", linkName: "etc/passwd" }),
    member("null", { kind: "character", devMajor: 1, devMinor: 3 }),
    member("disk", { kind: "block", devMajor: 8, devMinor: 0 }),
    member("pipe", { kind: "fifo" }),
    member("suid", { mode: 0o4755, uid: 5_000_000, gid: 5_000_000 }, "x".repeat(random.below(3000))),
    member("attributes", { xattrs: new Map([["user.note", Buffer.from("x")]]) }, "y"),
    member(`${"deep/".repeat(30)}${"n".repeat(120)}`, { mtime: { seconds: 1, nanos: 5 } }, "z"),
    member("etc/.wh.gone"),
    member("etc/.wh..wh..opq"),
  ];
}

function changeMember(random: Random, members: Member[]): string {
  const at = random.below(members.length);
  const old = members[at] as Member;
  switch (random.below(9)) {
    case 0: {
      const name = random.pick(evilNames);
      members[at] = { ...old, name };
      return `name ${JSON.stringify(name.slice(0, 30))}`;
    }
    case 1: {
      const linkName = random.pick(evilTargets);
      members[at] = {
        ...old,
        kind: random.pick(["symlink", "hardlink"] as const),
        linkName,
        sizeBytes: 0,
        data: Buffer.alloc(0),
      };
      return `link to ${JSON.stringify(linkName)}`;
    }
    case 2:
      members.splice(random.below(members.length), 0, old);
      return "twice";
    case 3: {
      const other = random.below(members.length);
      members[at] = members[other] as Member;
      members[other] = old;
      return "another order";
    }
    case 4:
      // A link, then a file through it: the oldest way out.
      members.push(
        member("way", { kind: "symlink", linkName: random.pick(evilTargets) }),
        member("way/canary", {}, "written through a link"),
        member("way", { kind: "directory", mode: 0o777 }),
      );
      return "a way through a link";
    case 5:
      members[at] = { ...old, kind: random.pick(["directory", "fifo", "block", "character", "file"] as const) };
      return "another kind";
    case 6:
      members[at] = { ...old, devMajor: random.below(2 ** 31), devMinor: random.below(2 ** 31), kind: "character" };
      return "any device";
    case 7:
      members[at] = {
        ...old,
        xattrs: new Map([
          [
            random.pick([
              "trusted.overlay.opaque",
              "trusted.overlay.redirect",
              "security.capability",
              "user.overlay.opaque",
            ]),
            Buffer.from("y"),
          ],
        ]),
      };
      return "attributes of overlay's own";
    default:
      members[at] = { ...old, mode: random.below(0o10000), uid: random.below(2 ** 31), gid: random.below(2 ** 31) };
      return "any owner and mode";
  }
}

function packed(members: readonly Member[]): Buffer {
  const pieces: Uint8Array[] = [];
  for (const { data, ...entry } of members) {
    pieces.push(encodeHeader(entry, true), data, paddingFor(data.length));
  }
  return Buffer.concat([...pieces, endMark]);
}

function changeBytes(random: Random, bytes: Buffer): [Buffer, string] {
  const copy = Buffer.from(bytes);
  const header = random.below(Math.max(1, Math.floor(bytes.length / block))) * block;
  switch (random.below(5)) {
    case 0:
      return [copy.subarray(0, random.below(bytes.length)), "cut short"];
    case 1:
      copy[random.below(copy.length)] = random.below(256);
      return [copy, "one byte"];
    case 2: {
      // A header's byte with the checksum made right again: what a checksum does not stop.
      if (header + block > copy.length) return [copy, "nothing"];
      copy[header + random.below(block)] = random.below(256);
      fixChecksum(copy, header);
      return [copy, "a header's byte"];
    }
    case 3: {
      if (header + block > copy.length) return [copy, "nothing"];
      const size = random.pick(["77777777777\0", "00000000001\0", "-0000000001\0", "            "]);
      copy.write(size, header + 124, "latin1");
      if (random.below(3) === 0) copy.fill(0xff, header + 124, header + 136);
      fixChecksum(copy, header);
      return [copy, "a size that lies"];
    }
    default:
      return [Buffer.concat([copy.subarray(0, header), copy.subarray(random.below(copy.length))]), "a piece taken out"];
  }
}

function fixChecksum(bytes: Buffer, at: number): void {
  bytes.fill(0x20, at + 148, at + 156);
  let sum = 0;
  for (let index = at; index < at + block; index++) sum += bytes[index] as number;
  bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, at + 148, "latin1");
}

function compressed(random: Random, plain: Buffer, how: string[]): HostileArchive {
  const kind = random.pick(["none", "none", "gzip", "zstd"] as const);
  if (kind === "none") return { bytes: plain, mediaType: layerType, how: how.join(", ") };
  let bytes = Buffer.from(kind === "gzip" ? gzipSync(plain) : zstdCompressSync(plain));
  if (random.below(2) === 0) {
    how.push(`${kind} damaged`);
    if (random.below(2) === 0) bytes = bytes.subarray(0, random.below(bytes.length));
    else
      for (let count = 1 + random.below(8); count > 0; count--) bytes[random.below(bytes.length)] = random.below(256);
  } else how.push(kind);
  return { bytes, mediaType: `${layerType}+${kind}`, how: how.join(", ") };
}
