// Kept from the beginning of a page: how far things jumped about (CLS), how long the processor let nobody in (TBT), and when
// the largest thing was there (LCP).
(() => {
  const seen = (window.clicSeen = { shift: 0, blocked: 0, largest: 0 });
  const watch = (type, take) =>
    new PerformanceObserver((list) => list.getEntries().forEach(take)).observe({ type, buffered: true });
  watch("layout-shift", (entry) => { if (!entry.hadRecentInput) seen.shift += entry.value; });
  watch("longtask", (entry) => { seen.blocked += Math.max(0, entry.duration - 50); });
  watch("largest-contentful-paint", (entry) => { seen.largest = entry.startTime; });
})();
