"""How a task ends, whatever it did: it is shown until it expires."""

from __future__ import annotations

from tiffin.core.lifecycle import Lifecycle, Outcome, done, go, inside, sleep
from tiffin.services.image.settings import Settings
from tiffin.services.image.tables import TaskRow

DAY = 86_400.0


class Ending(Lifecycle):
    @property
    def settings(self) -> Settings:
        found: Settings = self.cloud.service("image").settings
        return found

    def end(self, task: TaskRow, status: str, message: str, then: str = "keep") -> Outcome:
        """Say how it went; `then` comes next, and `keep` in the end."""
        shown = self.settings.imports.task_time_to_live * 3600.0
        task.status, task.message, task.secret = status, message, None
        task.updated_at, task.expires_at = self.now, self.now + shown
        return go(then, deadline=shown + DAY)

    @inside
    def keep(self) -> Outcome:
        """Show the task until it expires."""
        task = self.db.get_one(TaskRow, self.id)
        left = (task.expires_at or 0.0) - self.now
        if left > 0:
            return sleep(left)
        self.db.delete(task)
        return done()
