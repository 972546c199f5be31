// What has changed between two texts.

// Numbers of the lines of `now` that are not in `before`, by the longest common subsequence.
export function changedLines(before, now) {
  const lengths = Array.from({ length: before.length + 1 }, () => new Uint16Array(now.length + 1));
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = now.length - 1; j >= 0; j--) {
      lengths[i][j] = before[i] === now[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  const changed = new Set();
  let i = 0;
  for (let j = 0; j < now.length; j++) {
    while (i < before.length && before[i] !== now[j] && lengths[i + 1][j] >= lengths[i][j + 1]) i++;
    if (i < before.length && before[i] === now[j]) i++;
    else changed.add(j);
  }
  return changed;
}
