/** One entry of an archive that a test makes. */
export interface TarEntry {
  readonly path: string;
  readonly type?: "file" | "folder" | "symlink" | "hardlink";
  readonly mode?: number;
  readonly target?: string;
  readonly content?: Uint8Array | string;
}

const typeFlags = { file: "0", hardlink: "1", symlink: "2", folder: "5" } as const;

/** Packs entries as a ustar archive whose bytes depend on nothing else: owner 0, time 0. */
export function packTar(entries: readonly TarEntry[]): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (const entry of entries) {
    const content = typeof entry.content === "string" ? new TextEncoder().encode(entry.content) : entry.content;
    const bytes = content ?? new Uint8Array(0);
    blocks.push(headerOf(entry, bytes.length), bytes, new Uint8Array((512 - (bytes.length % 512)) % 512));
  }
  blocks.push(new Uint8Array(1024));
  return Buffer.concat(blocks);
}

function headerOf(entry: TarEntry, sizeBytes: number): Uint8Array {
  const type = entry.type ?? "file";
  const header = Buffer.alloc(512);
  header.write(type === "folder" ? `${entry.path}/` : entry.path, 0, 100);
  writeOctal(header, 100, 8, entry.mode ?? (type === "folder" ? 0o755 : 0o644));
  writeOctal(header, 108, 8, 0);
  writeOctal(header, 116, 8, 0);
  writeOctal(header, 124, 12, sizeBytes);
  writeOctal(header, 136, 12, 0);
  header.fill(" ", 148, 156);
  header.write(typeFlags[type], 156);
  header.write(entry.target ?? "", 157, 100);
  header.write("ustar\x0000", 257, "latin1");
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return header;
}

function writeOctal(header: Buffer, offset: number, width: number, value: number): void {
  header.write(`${value.toString(8).padStart(width - 1, "0")}\0`, offset);
}
