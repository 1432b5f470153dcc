"""A module, an older version of it, and one that reads what that wrote."""

OLD = """\
import burnish.core, torch
from torch import nn

@burnish.core.module(name="tests/cli-net")
class Net(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.fc = nn.Linear(width, width)
"""


NEW = OLD.replace("self.fc", "self.head")


FIXED = NEW.replace(
    'name="tests/cli-net"',
    "name=\"tests/cli-net\", version=1, upgrade_rules={0: [RenameField('fc', 'head')]}",
).replace(
    "import burnish.core", "from burnish.config import RenameField\nimport burnish.core"
)
