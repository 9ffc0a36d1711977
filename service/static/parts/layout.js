// Where the nodes of a network's graph stand. dagre lays out; a network is cut where all ways go through one
// node, because its blocks repeat: each kind of block is laid out once, and long networks take no longer.

import dagre from "../vendor/dagre/dagre.esm.js";

export const BOX = { width: 176, height: 58 };
const JOIN = { width: 58, height: 22 };
const APART = { nodesep: 22, ranksep: 24, edgesep: 12, marginx: 0, marginy: 0, rankdir: "TB" };

const size = (node) => (node.layer ? BOX : JOIN);

/** Places (middles) of nodes, and lines of edges: {width, height, nodes: [{x, y, ...size}], edges: [[{x, y}]]}. */
export function laidOut({ nodes, edges }) {
  const kinds = new Map();
  const placed = nodes.map(() => null);
  const lines = [];
  let top = 0;
  for (const block of blocks(nodes.length, edges)) {
    const own = edges.filter(([a, b]) => a >= block.first && b <= block.last && !(a === b));
    const key = JSON.stringify([nodes.slice(block.first, block.last + 1).map((one) => one.layer), own.map(([a, b]) => [a - block.first, b - block.first])]);
    if (!kinds.has(key)) kinds.set(key, lay(nodes.slice(block.first, block.last + 1), own.map(([a, b]) => [a - block.first, b - block.first])));
    top = put(kinds.get(key), block, top, placed, lines, nodes);
  }
  return fitted(placed, lines, nodes);
}

/** Stretches between neighbouring nodes that every way goes through; they share their ends. */
function* blocks(count, edges) {
  const reach = new Array(count).fill(0);
  const entered = new Array(count).fill(false);
  for (const [from, to] of edges) {
    reach[from] = Math.max(reach[from], to);
    entered[to] = true;
  }
  let first = 0;
  let far = reach[0] ?? 0;
  for (let at = 1; at < count; at += 1) {
    const through = far <= at && entered[at];
    if (through || at === count - 1) {
      yield { first, last: at };
      first = at;
    }
    far = Math.max(far, reach[at]);
  }
  if (count === 1) yield { first: 0, last: 0 };
}

function lay(nodes, edges) {
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ ...APART });
  graph.setDefaultEdgeLabel(() => ({}));
  nodes.forEach((node, at) => graph.setNode(String(at), { ...size(node) }));
  for (const [from, to] of edges) graph.setEdge(String(from), String(to));
  dagre.layout(graph);
  return {
    nodes: nodes.map((_, at) => graph.node(String(at))),
    edges: edges.map(([from, to]) => graph.edge(String(from), String(to)).points),
  };
}

/** Put a block below what is there: its first node is the last one of the block before. */
function put(block, { first }, top, placed, lines, nodes) {
  const origin = block.nodes[0];
  const start = placed[first] ?? { x: 0, y: top + size(nodes[first]).height / 2 };
  const moved = ({ x, y }) => ({ x: x - origin.x + start.x, y: y - origin.y + start.y });
  block.nodes.forEach((node, at) => { placed[first + at] ??= moved(node); });
  for (const points of block.edges) lines.push(points.map(moved));
  return Math.max(...block.nodes.map((node) => moved(node).y + node.height / 2)) + APART.ranksep;
}

function fitted(placed, lines, nodes) {
  const margin = 16;
  const left = Math.min(...placed.map(({ x }, at) => x - size(nodes[at]).width / 2), ...lines.flat().map(({ x }) => x)) - margin;
  const right = Math.max(...placed.map(({ x }, at) => x + size(nodes[at]).width / 2), ...lines.flat().map(({ x }) => x)) + margin;
  const bottom = Math.max(...placed.map(({ y }, at) => y + size(nodes[at]).height / 2)) + margin;
  return {
    width: right - left, height: bottom + margin,
    nodes: placed.map(({ x, y }, at) => ({ x: x - left, y: y + margin, ...size(nodes[at]) })),
    edges: lines.map((points) => points.map(({ x, y }) => ({ x: x - left, y: y + margin }))),
  };
}
