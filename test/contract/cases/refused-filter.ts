import type { DescMethod, MessageInitShape } from "@bufbuild/protobuf";
import { badRegexp } from "../differences.ts";
import { call, type Step } from "../script.ts";

const problems: Readonly<Record<string, string>> = {
  "[": ">|[|< ]: error parsing regexp: missing closing ]: `[`: invalid argument",
  "(?P<x": ">|(|< ?P<x]: error parsing regexp: invalid named capture: invalid argument",
};

/** How services show that a filter does not parse. */
const forms = {
  once: (problem: string) => `INVALID_ARGUMENT filters: ${problem}`,
  twice: (problem: string) => `INVALID_ARGUMENT filters: ${problem}: invalid argument`,
  uncoded: (problem: string) => `UNKNOWN filters: ${problem}`,
  subscription: (problem: string) =>
    `UNKNOWN subscription error: failed parsing subscription filters: filters: ${problem}`,
};

/** A call with a filter whose regular expression does not compile. */
export function refusedFilter<M extends DescMethod>(
  method: M,
  filter: string,
  request: MessageInitShape<M["input"]>,
  form: keyof typeof forms,
): Step {
  const [field = "", regexp = ""] = filter.split("~=");
  const problem = `parse error: [${field}~= ${problems[regexp] ?? ""}`;
  const timeout = form === "subscription" ? { timeout: "500m" } : {};
  return call(`refuse ${filter}`, method, request, { ...timeout, differs: badRegexp(forms[form](problem)) });
}
