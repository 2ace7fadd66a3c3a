"""Label Studio's own routes, and ours: an item's media by its number, as names of files tell much, and a script."""

from base64 import urlsafe_b64encode
from pathlib import Path
from urllib.parse import urlsplit

from core.urls import *  # noqa: F403 (its error pages too)
from core.urls import urlpatterns as theirs
from django.http import Http404, HttpResponse, QueryDict
from django.urls import path
from io_storages.functions import get_storage_by_url
from io_storages.localfiles.views import localfiles_data
from io_storages.proxy_api import TaskResolveStorageUri
from tasks.models import Task


class Streamed(TaskResolveStorageUri):
    """An object of a bucket through the server: a signed link would say its name."""

    def redirect_to_presign_url(self, fileuri, instance, model_name):
        """Send the object itself."""
        storage = get_storage_by_url(fileuri, instance.project.get_all_import_storage_objects)
        return self.proxy_data_from_storage(self.request, fileuri, instance.project, storage)


def media(request, task_id, name):
    """Serve what an item's data names under ``name``; m2v_guard.py has judged who asks."""
    data = Task.objects.filter(id=task_id).values_list("data", flat=True).first() or {}
    place = data.get(name)
    if not isinstance(place, str):
        raise Http404
    if place.startswith("/data/local-files/"):
        request.GET = QueryDict(urlsplit(place).query)
        response = localfiles_data(request)
    else:
        request.GET = QueryDict(mutable=True)
        request.GET["fileuri"] = urlsafe_b64encode(place.encode()).decode()
        response = Streamed.as_view()(request, task_id=task_id)
    if response.status_code >= 400:  # what it says names the file
        raise Http404
    del response["Content-Disposition"]
    # A picture that is a page (SVG) runs nothing here.
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["X-Content-Type-Options"] = "nosniff"
    return response


SCRIPT = Path(__file__).with_name("m2v_page.js").read_text(encoding="utf-8")


def script(_):
    """Serve what our labelling pages do besides Label Studio's."""
    return HttpResponse(SCRIPT, content_type="text/javascript; charset=utf-8")


urlpatterns = [
    path("m2v/media/<int:task_id>/<str:name>", media, name="m2v-media"),
    path("m2v/page.js", script, name="m2v-page"),
    *theirs,
]
