import type { Logger } from "../lib/log.ts";
import type { StreamProcessorConfig } from "./config.ts";
import type { Prepare } from "./live.ts";
import type { ConfigSchema } from "./schema.ts";
import type { TimeLimits } from "./timeouts.ts";

/** A plugin's type, as Introspection shows it; every plugin of a kind gives a T. */
export interface Kind<T> {
  readonly type: string;
  /** Carries T for the type checker alone. */
  readonly gives?: T;
}

/** Names one plugin and what it gives. */
export interface Token<T> {
  readonly type: string;
  readonly id: string;
  /** `type.id`: containerd's URI of a plugin, the name of its folders and of its configuration. */
  readonly uri: string;
  readonly gives?: T;
}

/** A need that may stay unmet: the plugin gets undefined when it is absent, skipped or failed. */
export interface OptionalToken<T> {
  readonly optional: Token<T>;
}

export type Need = Token<unknown> | Kind<unknown> | OptionalToken<unknown>;
export type Needs = Readonly<Record<string, Need>>;

/** What a plugin's needs turn into: a token into its instance, a kind into all that started, by id. */
export type Given<N extends Needs> = {
  readonly [K in keyof N]: N[K] extends OptionalToken<infer T>
    ? T | undefined
    : N[K] extends Token<infer T>
      ? T
      : N[K] extends Kind<infer T>
        ? ReadonlyMap<string, T>
        : never;
};

/** Makes a kind. */
export function kind<T>(type: string): Kind<T> {
  return { type };
}

/** Makes the token of the plugin with that id. */
export function token<T>(of: Kind<unknown>, id: string): Token<T> {
  return { type: of.type, id, uri: `${of.type}.${id}` };
}

/** Marks a need as one that may stay unmet. */
export function optional<T>(of: Token<T>): OptionalToken<T> {
  return { optional: of };
}

export interface PluginPlatform {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string;
}

/** What a plugin tells clients about itself, through Introspection. Filled in by `init`. */
export interface PluginMeta {
  readonly platforms: PluginPlatform[];
  readonly exports: Map<string, string>;
  readonly capabilities: string[];
}

/** What the daemon gives to every plugin. */
export interface DaemonFacts {
  readonly root: string;
  readonly state: string;
  readonly grpcAddress: string;
  readonly ttrpcAddress: string;
  /** The configuration's `stream_processors`, by id. */
  readonly streamProcessors: ReadonlyMap<string, StreamProcessorConfig>;
  /** The configuration's `timeouts`, as they are just now. */
  readonly timeouts: TimeLimits;
  /** Fires when the daemon is told to end, also while it starts. */
  readonly stop?: AbortSignal | undefined;
  /** Where this daemon takes the place of one that cut off its subscribers for it: how many will be back, within what time. */
  readonly returning?: ReturningSubscribers | undefined;
  /** Puts another program in the daemon's place. */
  readonly upgrades?: DaemonUpgrades | undefined;
}

/** Whom a daemon cut off in order to be replaced, and what they had heard of by then. */
export interface ReturningSubscribers {
  readonly subscribers: number;
  readonly forMs: number;
  readonly passedOn?: PassedOnEvents | undefined;
}

/**
 * Which of the shim host's events the daemon before has passed on.
 * Shape: numbers and nanoseconds as decimals, since they go from one process to another as text; `except` has runs of numbers, both
 * ends included, that nobody took.
 */
export interface PassedOnEvents {
  readonly through: string;
  readonly until: string;
  readonly except: readonly (readonly [first: string, last: string])[];
}

/** How another program is put in the daemon's place. */
export interface DaemonUpgrades {
  /**
   * Starts another program, which takes over as soon as the calls under way have ended. Answers its pid once it could.
   * Shape: an absolute path; empty for the program that the daemon was started as.
   * Errors: failedPrecondition (it is not fit, or another is on its way), invalidArgument (there is none).
   */
  begin(path: string): Promise<number>;
  readonly underWay: boolean;
  /** Why the last one failed; empty when none did since. */
  readonly failure: string;
}

/** What `init` is given beside its needs. */
export interface PluginContext<C> {
  readonly config: C;
  /** `<root>/<uri>` and `<state>/<uri>`; the plugin makes them when it wants them. */
  readonly root: string;
  readonly state: string;
  readonly daemon: DaemonFacts;
  readonly log: Logger;
  readonly meta: PluginMeta;
  /** What is put here is disposed of when `init` fails, and else when the daemon stops. */
  readonly scope: AsyncDisposableStack;
  /** Every plugin that was tried so far, this one not included; it grows as others follow. */
  readonly plugins: PluginView;
  /** What is to be done when the configuration is read again; called each time, whether its keys changed or not. */
  readonly onReload: (prepare: Prepare<C>) => void;
}

/** Why a plugin did not start; `skipped` is one that does not apply here, which is no fault. */
export interface PluginFailure {
  readonly error: Error;
  readonly skipped: boolean;
}

/** One plugin that was tried. */
export interface PluginRecord {
  readonly type: string;
  readonly id: string;
  readonly uri: string;
  /** The types of its needs, in order, each once. */
  readonly requires: readonly string[];
  readonly meta: PluginMeta;
  readonly failure: PluginFailure | undefined;
}

/** The plugins that were tried, in order. */
export interface PluginView {
  all(): readonly PluginRecord[];
  find(type: string, id: string): PluginRecord | undefined;
  /** The instance of a plugin that started, untyped: for asking whether it has an optional ability. */
  instance(uri: string): unknown;
}

/** A plugin as the graph sees it, its types checked and erased. */
export interface PluginDefinition {
  readonly type: string;
  readonly id: string;
  readonly uri: string;
  readonly needs: readonly Need[];
  readonly config: ConfigSchema<unknown>;
  /** The keys of its table that may change while it runs. */
  readonly live: readonly string[];
  start(resolve: Resolve, context: PluginContext<unknown>): Promise<unknown>;
}

/** Turns a need into what meets it. Errors: what kept a needed plugin from starting. */
export type Resolve = (need: Need) => unknown;

export interface PluginOptions<T, N extends Needs, C> {
  readonly type: Kind<T>;
  readonly id: string;
  readonly requires?: N;
  readonly config?: ConfigSchema<C>;
  /** Which keys may change while it runs; `init` says by `onReload` what is to be done then. */
  readonly live?: readonly (keyof C & string)[];
  init(given: Given<N>, context: PluginContext<C>): T | Promise<T>;
}

/** A plugin says by throwing this that it does not apply here. */
export class SkipPlugin extends Error {
  constructor(why: string, options?: ErrorOptions) {
    super(why === "" ? "skip plugin" : `${why}: skip plugin`, options);
    this.name = "SkipPlugin";
  }
}

/** The schema of a plugin that takes no configuration: whatever stands there is unknown. */
const noConfig: ConfigSchema<undefined> = {
  expects: "nothing",
  decode: (value, path, report) => {
    if (typeof value === "object" && value !== null)
      for (const key of Object.keys(value)) report.unknown([...path, key], []);
    return undefined;
  },
  encode: () => undefined,
};

/** Pairs a plugin's needs and configuration with its `init`. The only place where their types are erased. */
export function definePlugin<T, N extends Needs = Readonly<Record<never, never>>, C = undefined>(
  options: PluginOptions<T, N, C>,
): PluginDefinition {
  const requires = Object.entries<Need>(options.requires ?? {});
  return {
    type: options.type.type,
    id: options.id,
    uri: `${options.type.type}.${options.id}`,
    needs: requires.map(([, need]) => need),
    config: options.config ?? noConfig,
    live: options.live ?? [],
    start: async (resolve, context) => {
      const given = Object.fromEntries(requires.map(([name, need]) => [name, resolve(need)]));
      return options.init(given as Given<N>, context as PluginContext<C>);
    },
  };
}

/** The type that a need points at. */
export function typeOfNeed(need: Need): string {
  return "optional" in need ? need.optional.type : need.type;
}
