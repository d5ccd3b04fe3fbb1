import { FaultError, messageOf } from "../lib/faults.ts";
import { checkpointHint } from "./checkpoint-hint.ts";
import type { Output } from "./output.ts";
import { styleOf } from "./style.ts";
import { printable } from "./table.ts";
import { CommandError, UsageError } from "./usage-error.ts";

/** Commands whose exit code is the container's, so that our own failures need a code apart. Source: docker run --help. */
const containerCommands: readonly string[] = ["run", "exec", "attach"];

/**
 * Tells a failure as `lighter: what: why` and `hint: what to do`.
 * Shape: `subject` is put before a text that does not say of whom it tells. Answers the exit code: 125 for our failures in run, exec and attach, 126 and 127 when the command cannot be run
 * or is not there, 2 for a wrong command line, else 1.
 */
export function reportError(error: unknown, command: string, output: Output, subject?: string): number {
  const style = styleOf(output.errorTerminal && output.color);
  const about = subject === undefined ? "" : `${subject}: `;
  output.note(`${style.red("lighter:")} ${printable(about + shortened(messageOf(error)))}`);
  const hint = hintOf(error, command);
  if (hint !== undefined) output.note(`${style.yellow("hint:")} ${hint}`);
  return exitCodeOf(error, command);
}

function exitCodeOf(error: unknown, command: string): number {
  if (containerCommands.includes(command)) {
    if (error instanceof CommandError) return error.exitCode;
    return error instanceof UsageError ? 125 : (runtimeExitCode(messageOf(error)) ?? 125);
  }
  if (error instanceof CommandError) return error.exitCode;
  return error instanceof UsageError ? 2 : 1;
}

/** What a runtime's refusal to start a command means to a shell: not found, or not to be executed. */
export function runtimeExitCode(text: string): number | undefined {
  if (missingRuntime(text) !== undefined || brokenRuntime(text) !== undefined) return undefined;
  if (!/OCI runtime|crun|runc|exec|create failed|start failed/i.test(text)) return undefined;
  if (
    /executable file (`[^`]*` )?not found|exec:.*no such file or directory|stat .*: no such file or directory/i.test(
      text,
    )
  )
    return 127;
  if (/open executable: No such file or directory|executable .*No such file/i.test(text)) return 127;
  if (/permission denied|operation not permitted|exec format error|is a directory/i.test(text)) return 126;
  return undefined;
}

/** The OCI runtime that could not be started: nothing of the container's was tried. */
function missingRuntime(text: string): string | undefined {
  if (/container process|exec failed/.test(text)) return undefined;
  return /(?:^|: )(?:fork\/)?exec:? "?([^" ]+)"?: (?:executable file not found in \$PATH|no such file or directory)/.exec(
    text,
  )?.[1];
}

/** The OCI runtime that is there and cannot be executed. */
function brokenRuntime(text: string): string | undefined {
  return /(?:EACCES|ENOEXEC): [a-z ]+, posix_spawn '([^']+)'/.exec(text)?.[1];
}

/** The daemon's own chain of contexts, without the part that every runtime failure repeats. */
function shortened(text: string): string {
  return text
    .replace(/^failed to create shim task: /, "")
    .replace(/^OCI runtime (create|exec|start|checkpoint|restore) failed: /, "runtime: ")
    .replace(/unable to retrieve OCI runtime error \([^)]*\): /, "")
    .replace(/: unknown$/, "");
}

function hintOf(error: unknown, command: string): string | undefined {
  if (error instanceof CommandError) return error.hint;
  if (error instanceof UsageError)
    return error.hint ?? `lighter ${command === "" ? "" : `${command} `}--help shows what it takes`;
  const text = messageOf(error);
  const checkpoint = checkpointHint(error, text);
  if (checkpoint !== undefined) return checkpoint;
  if (error instanceof FaultError) return faultHint(error, text);
  if (/EACCES|EPERM/.test(text)) return "run it as root, or with sudo";
  return undefined;
}

const commandHints: Readonly<Record<number, string>> = {
  126: "the file is there but may not be executed: check its mode in the image",
  127: "the image has no such command; is it spelled as in the image, or did an option slip behind the image's name?",
};

function faultHint(error: FaultError, text: string): string | undefined {
  if (error.kind === "unavailable") return connectionHint(text);
  if (error.kind === "notFound") return notFoundHint(text);
  if (error.kind === "alreadyExists") return alreadyExistsHint(text);
  const runtime = missingRuntime(text);
  if (runtime !== undefined) return `the OCI runtime ${runtime} is not installed; lighter doctor shows what is`;
  const broken = brokenRuntime(text);
  if (broken !== undefined)
    return `${broken} is no program that runs here: is it executable, and made for this machine?`;
  const commandHint = commandHints[runtimeExitCode(text) ?? 0];
  if (commandHint !== undefined) return commandHint;
  return otherHint(error, text);
}

function otherHint(error: FaultError, text: string): string | undefined {
  if (/memory limit/.test(text)) return "give it more with --memory";
  if (error.kind === "permissionDenied" || /permission denied/i.test(text)) return "run it as root, or with sudo";
  if (error.kind === "failedPrecondition" && /must be empty/.test(text))
    return "remove what is in it first: lighter -n NAME rm -f $(lighter -n NAME ps -aq), and its images likewise";
  if (text.startsWith("address ")) return "--address takes the path of the daemon's socket";
  if (error.kind === "invalidArgument") return argumentHint(text);
  if (/archive is broken/.test(text)) return "make it anew, as with docker save -o FILE IMAGE";
  if (/no space left/i.test(text)) return "the disk is full: lighter image rm gives room back";
  return undefined;
}

function argumentHint(text: string): string | undefined {
  if (text.startsWith("working directory ")) return "begin it with a slash";
  if (text.startsWith("capability ")) return "they are named as in capabilities(7), e.g. NET_ADMIN; ALL stands for all";
  if (text.startsWith("snapshotter not loaded")) return "lighter doctor lists the snapshotters that there are";
  if (text.startsWith("no command given")) return "give one behind the image: lighter run IMAGE COMMAND";
  return undefined;
}

function connectionHint(text: string): string {
  if (text.includes("permission denied")) return "the socket belongs to root: use sudo";
  if (text.includes("no such socket") || text.includes("nobody listens")) {
    return "start the daemon (sudo lighterd; npm start in a checkout), or name another with --address or $CONTAINERD_ADDRESS";
  }
  return "lighter doctor looks for the reason";
}

function notFoundHint(text: string): string | undefined {
  if (text.startsWith("image ")) return "lighter image ls shows what is there; lighter image import FILE brings one";
  if (/^user |^group /.test(text)) return "use a number, or a name from the image's /etc/passwd and /etc/group";
  if (/^no running|not running/.test(text)) return "lighter ps -a shows it; lighter start runs it again";
  if (/container/.test(text)) return "lighter ps -a lists the containers of this namespace";
  if (/executable file/.test(text)) return "the image has no such command; is it spelled as in the image?";
  return undefined;
}

function alreadyExistsHint(text: string): string | undefined {
  if (/container|snapshot/.test(text)) return "take another --name, or remove the old one with lighter rm";
  return undefined;
}
