const bar = document.getElementById("filter");
const words = bar.querySelector("input[type=search]");
const shown = document.getElementById("shown");
const rows = [...document.querySelectorAll("tr[data-verdict]")].map((row) => ({ row, text: row.textContent.toLowerCase() }));
const filter = () => {
  const verdict = bar.querySelector("input[type=radio]:checked").value;
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const { row, text } of rows) {
    row.hidden = (verdict !== "all" && row.dataset.verdict !== verdict) || !wanted.every((word) => text.includes(word));
    count += !row.hidden;
  }
  for (const body of document.querySelectorAll("#checks tbody"))
    body.hidden = [...body.rows].every((row) => row.hidden || row.dataset.verdict === undefined);
  shown.textContent = `${count} of ${rows.length} checks shown`;
};
bar.hidden = false;
bar.addEventListener("input", filter);
filter();
const open = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target || target.tagName !== "DETAILS") return;
  target.open = true;
  target.scrollIntoView();
  target.querySelector("summary").focus({ preventScroll: true });
};
addEventListener("hashchange", open);
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open]):not(.held)")];
  for (const part of opened) part.open = true;
});
addEventListener("afterprint", () => { for (const part of opened) part.open = false; });
open();
