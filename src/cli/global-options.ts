import type { OptionSpec } from "./args.ts";

/** Options that every command takes; before the command `-a` and `-n` are short for the first two. */
export const globalOptions: readonly OptionSpec[] = [
  {
    long: "address",
    value: "SOCKET",
    help: "The daemon's socket ($CONTAINERD_ADDRESS, else lighter's, else containerd's)",
  },
  { long: "namespace", value: "NAME", help: 'Whose containers and images ($CONTAINERD_NAMESPACE, else "default")' },
  { long: "help", short: "h", help: "Show help" },
];

export const jsonOption: OptionSpec = { long: "json", help: "Print JSON in place of a table" };

/** The options that stand before the command. */
export const leadingOptions: readonly OptionSpec[] = [
  { ...(globalOptions[0] as OptionSpec), short: "a" },
  { ...(globalOptions[1] as OptionSpec), short: "n" },
  { long: "help", short: "h", help: "Show help" },
  { long: "version", short: "v", help: "Show versions" },
  jsonOption,
];
