import type { Image } from "../../gen/containerd/services/images/v1/images_pb.ts";
import { digestProblem } from "../../lib/digest.ts";
import { invalidArgument, quote } from "../../lib/faults.ts";
import { checkLabels } from "../../lib/labels.ts";

/** Checks what an image must have. Errors: invalidArgument. Source: containerd core/metadata/images.go validateImage. */
export function checkImage(image: Image): void {
  if (image.name === "") throw invalidArgument("image name must not be empty");
  checkLabels(image.labels, "image.Labels");
  const digest = image.target?.digest ?? "";
  const problem = digestProblem(digest);
  if (problem !== undefined) throw invalidArgument(`target.Digest ${quote(digest)} invalid: ${problem}`);
  if ((image.target?.size ?? 0n) <= 0n) throw invalidArgument("target.Size must be greater than zero");
  if ((image.target?.mediaType ?? "") === "") throw invalidArgument("target.MediaType must be set");
}
