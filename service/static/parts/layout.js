// Where the nodes of a network's graph stand. dagre lays out; a network is cut where all ways go through one
// node, because its blocks repeat: each kind of block is laid out once, and long networks take no longer.

import dagre from "../vendor/dagre/dagre.esm.js";

export const BOX = { width: 176, height: 58 };
const JOIN = { width: 58, height: 22 };
const APART = { nodesep: 22, ranksep: 24, edgesep: 12, marginx: 0, marginy: 0, rankdir: "TB" };

const WOVEN = 500;

const size = (node) => (node.layer ? BOX : JOIN);

/** Places (middles) of nodes, and lines of edges: {width, height, nodes: [{x, y, ...size}], edges: [[{x, y}]]}. */
export function laidOut(graph) {
  if (!known.has(graph)) known.set(graph, places(graph));
  return known.get(graph);
}

const known = new WeakMap();

function places({ nodes, edges }) {
  const kinds = new Map();
  const placed = nodes.map(() => null);
  const lines = [];
  let top = 0;
  for (const { first, last, own } of blocks(nodes.length, edges)) {
    const members = nodes.slice(first, last + 1);
    const ways = own.map(([a, b]) => [a - first, b - first]);
    const key = JSON.stringify([members.map((one) => Number(one.layer)), ways]);
    if (!kinds.has(key)) kinds.set(key, woven(ways) ? ranked(members, ways) : lay(members, ways));
    top = put(kinds.get(key), first, top, placed, lines, nodes);
  }
  return fitted(placed, lines, nodes);
}

/** Whether so many long edges cross a block that dagre would take seconds (dense blocks). */
const woven = (edges) => edges.reduce((sum, [from, to]) => sum + to - from, 0) > WOVEN;

/** Stretches between neighbouring nodes that every way goes through, with their edges; they share their ends. */
function blocks(count, edges) {
  const reach = new Array(count).fill(0);
  const entered = new Array(count).fill(false);
  for (const [from, to] of edges) {
    reach[from] = Math.max(reach[from], to);
    entered[to] = true;
  }
  const cuts = [0];
  let far = reach[0];
  for (let at = 1; at < count - 1; at += 1) {
    if (far <= at && entered[at]) cuts.push(at);
    far = Math.max(far, reach[at]);
  }
  cuts.push(count - 1);
  const found = cuts.slice(1).map((last, at) => ({ first: cuts[at], last, own: [] }));
  const of = []; // the block that a node's edges are in
  found.forEach((block, number) => { for (let at = block.first; at < block.last; at += 1) of[at] = number; });
  for (const edge of edges) found[of[edge[0]]].own.push(edge);
  return found;
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

/** Nodes one below the other by their longest way from the first; long edges go round on the right. */
function ranked(nodes, edges) {
  const rank = nodes.map(() => 0);
  for (const [from, to] of edges) rank[to] = Math.max(rank[to], rank[from] + 1);
  const taken = [];
  const step = BOX.height + APART.ranksep;
  const places = nodes.map((node, at) => {
    const column = taken[rank[at]] = (taken[rank[at]] ?? -1) + 1;
    return { ...size(node), x: column * (BOX.width + APART.nodesep), y: rank[at] * step };
  });
  const side = BOX.width / 2 + Math.max(...taken.filter(Boolean), 0) * (BOX.width + APART.nodesep);
  const lines = edges.map(([from, to]) => {
    const [a, b] = [places[from], places[to]];
    const ends = [{ x: a.x, y: a.y + a.height / 2 }, { x: b.x, y: b.y - b.height / 2 }];
    const far = side + 14 + 5 * Math.min(30, rank[to] - rank[from]);
    return rank[to] - rank[from] > 1 ? [ends[0], { x: far, y: ends[0].y + 10 }, { x: far, y: ends[1].y - 10 }, ends[1]] : ends;
  });
  return { nodes: places, edges: lines };
}

/** Put a block below what is there: its first node is the last one of the block before. */
function put(block, first, top, placed, lines, nodes) {
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
