"""The commands, grouped by what they are about; `cli` names them. A thin skin over `workflow`."""
