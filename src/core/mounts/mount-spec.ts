/** A mount as the API carries it: mount(8)'s type, source and options. */
export interface MountSpec {
  readonly type: string;
  readonly source: string;
  readonly target: string;
  readonly options: readonly string[];
}
