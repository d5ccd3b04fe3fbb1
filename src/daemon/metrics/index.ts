export { CallCounts } from "./call-counts.ts";
export { serveMetrics } from "./metrics-listener.ts";
export { MetricsPage } from "./metrics-page.ts";
