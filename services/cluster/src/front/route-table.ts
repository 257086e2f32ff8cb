interface RouteNode {
  readonly words: Map<string, RouteNode>;
  parameter: RouteNode | undefined;
  service: string | undefined;
}

const emptyNode = (): RouteNode => ({ words: new Map(), parameter: undefined, service: undefined });

const segmentsOf = (path: string): string[] => path.split('/').slice(1);

/** As routers read it: an encoded letter is the letter. What cannot be decoded stays, for its service to refuse. */
function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/**
 * Which service answers a path, by the path templates that the services publish. In each segment a word wins over a
 * parameter; the method does not matter, for a path belongs to one service. Of two that claim a path the first has it.
 */
export class RouteTable {
  private readonly root = emptyNode();

  /** Templates as OpenAPI writes them: `/v1/keys/{keyId}/extend`. */
  add(service: string, templates: readonly string[]): void {
    for (const template of templates) {
      let node = this.root;
      for (const segment of segmentsOf(template)) node = childOf(node, segment);
      node.service ??= service;
    }
  }

  /** `path` without its query. Undefined where no template fits. */
  serviceOf(path: string): string | undefined {
    return find(this.root, segmentsOf(path).map(decoded), 0);
  }
}

function childOf(node: RouteNode, segment: string): RouteNode {
  if (segment.startsWith('{')) return (node.parameter ??= emptyNode());
  const known = node.words.get(segment);
  if (known !== undefined) return known;
  const made = emptyNode();
  node.words.set(segment, made);
  return made;
}

function find(node: RouteNode, segments: readonly string[], at: number): string | undefined {
  const segment = segments[at];
  if (segment === undefined) return node.service;
  const word = node.words.get(segment);
  return (
    (word === undefined ? undefined : find(word, segments, at + 1)) ??
    (node.parameter === undefined ? undefined : find(node.parameter, segments, at + 1))
  );
}
