// Says that what the page has so far is on the screen: none of it still waits for the program that draws it, and a
// frame has passed. Nothing is painted in a tab that nobody looks at.
const WAITS = '[data-testid="stMain"] [data-testid="stSkeleton"]';
const LONGEST = 1500; // ms

export default function ({ data }) {
  if (!data?.name || window.cwpoPainted === data.name) return;
  window.cwpoPainted = data.name;
  const until = performance.now() + LONGEST;
  const say = () => fetch(`painted/${data.name}`, { method: "POST", keepalive: true }).catch(() => {});
  const look = () => {
    if (document.querySelector(WAITS) && performance.now() < until) requestAnimationFrame(look);
    else requestAnimationFrame(() => setTimeout(say));
  };
  if (document.hidden) say();
  else requestAnimationFrame(look);
}
