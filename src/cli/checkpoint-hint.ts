import { isFault } from "../lib/faults.ts";

/** What to do about a checkpoint or a restore that failed; undefined for what has nothing to do with either. */
export function checkpointHint(error: unknown, text: string): string | undefined {
  if (!/checkpoint|restore/i.test(text)) return undefined;
  if (isFault(error, "notImplemented")) return "named checkpoints need lighterd; this daemon does not have them";
  if (isFault(error, "notFound") && text.startsWith("checkpoint ")) return "lighter checkpoint ls shows what there is";
  if (isFault(error, "alreadyExists")) return "take another name, or remove the old one with lighter checkpoint rm";
  return criuHints.find(([pattern]) => pattern.test(text))?.[1];
}

/** By CRIU's own words, and the runtimes' when there is no CRIU. */
const criuHints: readonly (readonly [RegExp, string])[] = [
  [
    /Unix socket \d+ without peer/,
    "it talks to a unix socket of another network: CRIU can keep that with --net host only",
  ],
  [
    /half of stream unix connection/,
    "CRIU cannot save a stream to a process outside: the program must end the connection first",
  ],
  [/unix: Can't connect \d+ socket/, "the unix socket outside must be there again, at the path that it had"],
  [
    /unknown command (?:checkpoint|restore)/,
    "this crun is built without CRIU: run the container with --runtime runc, or install a crun that has it",
  ],
  [
    /criu"?: executable file not found|failed checking version|libcriu|could not load|criu.*No such file/i,
    "install criu (package criu); lighter doctor says whether it is there",
  ],
  [/--tcp-established/, "it has open connections: add --tcp"],
  [/--file-locks/, "it holds file locks: add --file-locks"],
  [/--ext-unix-sk|external socket/i, "it has unix sockets to outside: add --unix"],
  [/--shell-job/, "it is the job of a terminal outside: add --shell"],
];
