"""JSON schemas of many kinds, made at random from a seed."""

import random


class Maker:
    """Makes schemas; each kind of value as likely as the others, simpler ones further inside."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.definitions = {}

    def document(self):
        """A schema of a whole document, with what it refers to."""
        kind = self.random.choice([self.object, self.object, self.array, self.any_of, self.tree])
        schema = kind(3)
        if self.definitions:
            schema = {"$defs": self.definitions, **schema}
        return schema

    def value(self, depth):
        simple = [
            *(self.integer, self.number, self.string, self.enum, self.const, self.pattern),
            *(self.format, self.nothing, self.boolean, self.mixed),
        ]
        deep = [self.object, self.array, self.tuple, self.any_of, self.one_of, self.tree, self.map]
        return self.random.choice(simple + deep if depth > 0 else simple)(depth - 1)

    def object(self, depth):
        names = self.random.sample(
            ["id", "name", "größe", "a b", "x\"y", "tags", "kind", "value", "note"],
            self.random.randint(1, 4),
        )
        schema = {
            "type": "object",
            "properties": {name: self.value(depth) for name in names},
            "required": self.random.sample(names, self.random.randint(0, len(names))),
        }
        if self.random.random() < 0.7:
            schema["additionalProperties"] = False
        return schema

    def map(self, depth):
        return {"type": "object", "additionalProperties": self.value(depth)}

    def array(self, depth):
        schema = {"type": "array", "items": self.value(depth)}
        least = self.random.randint(0, 2)
        if self.random.random() < 0.6:
            schema |= {"minItems": least, "maxItems": least + self.random.randint(0, 3)}
        return schema

    def tuple(self, depth):
        items = [self.value(depth) for _ in range(self.random.randint(1, 3))]
        return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}

    def any_of(self, depth):
        return {"anyOf": [self.value(depth) for _ in range(self.random.randint(2, 3))]}

    def one_of(self, depth):
        kinds = self.random.sample(["circle", "square", "line"], 2)
        return {
            "oneOf": [
                {
                    "type": "object",
                    "properties": {"kind": {"const": kind}, "size": self.value(depth)},
                    "required": ["kind", "size"],
                }
                for kind in kinds
            ]
        }

    def tree(self, _):
        """A schema that contains itself."""
        name = f"node{len(self.definitions)}"
        self.definitions[name] = {
            "type": "object",
            "properties": {
                "label": {"type": "string", "maxLength": 6},
                "children": {"type": "array", "items": {"$ref": f"#/$defs/{name}"}, "maxItems": 3},
            },
            "required": ["label", "children"],
            "additionalProperties": False,
        }
        return {"$ref": f"#/$defs/{name}"}

    def integer(self, _):
        low = self.random.randint(-1_000, 1_000)
        return self.random.choice(
            [
                {"type": "integer"},
                {"type": "integer", "minimum": low, "maximum": low + self.random.randint(0, 5_000)},
                {"type": "integer", "exclusiveMinimum": low},
            ]
        )

    def number(self, _):
        low = self.random.randint(-20, 20)
        return self.random.choice(
            [
                {"type": "number"},
                {"type": "number", "minimum": low, "exclusiveMaximum": low + 7},
                {"type": "number", "maximum": low},
            ]
        )

    def string(self, _):
        least = self.random.randint(0, 3)
        return self.random.choice(
            [{"type": "string"}, {"type": "string", "minLength": least, "maxLength": least + 9}]
        )

    def enum(self, _):
        return {"enum": self.random.sample(["red", "grün", 7, None, True, 1.5, "a\\b"], 3)}

    def const(self, _):
        return {"const": self.random.choice(["fixed", 42, False, {"deep": [1, 2]}])}

    def pattern(self, _):
        return {
            "type": "string",
            "pattern": self.random.choice(
                ["^[A-Z]{2,4}-[0-9]+$", "^(yes|no|maybe)$", r"^\d{3}\.\d{2}$", "^[^@ ]+@[a-z]+\\.org$"]
            ),
        }

    def format(self, _):
        return {
            "type": "string",
            "format": self.random.choice(["date", "date-time", "uuid", "ipv4", "time"]),
        }

    def nothing(self, _):
        return {"type": "null"}

    def boolean(self, _):
        return {"type": "boolean"}

    def mixed(self, _):
        return {"type": self.random.sample(["string", "integer", "boolean", "null"], 2)}
