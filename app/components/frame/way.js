// One entry of the browser's list for each page that was seen. Addresses are made by the server.
const LINKS = '[data-testid="stSidebarNav"] a[href], [data-testid="stPageLink"] a[href]';

// Streamlit follows a link over an entry that has the filters of neither page; where its address is there already,
// it adds none.
function enter(event) {
  const link = event.target.closest?.(LINKS);
  const plain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
  if (!link || !plain || link.target === "_blank" || link.origin !== window.location.origin) return;
  if (link.href !== window.location.href && link.pathname !== window.location.pathname) {
    window.history.pushState({}, "", link.href);
  }
}

export default function ({ data }) {
  if (!window.cwpoEnters) document.addEventListener("click", enter, true);
  window.cwpoEnters = true;
  if (!data) return;
  const path = window.location.pathname;
  const base = data.here && path.endsWith(data.here) ? path.slice(0, -data.here.length) : path;
  const url = base + data.to;
  if (url !== path + window.location.search) {
    window.history[data.instead ? "replaceState" : "pushState"]({}, "", url);
  }
  window.dispatchEvent(new PopStateEvent("popstate", { state: {} }));
}
