// Before anything is painted: the theme that was chosen here before.
document.documentElement.dataset.theme = localStorage.getItem("rankwise.theme") ?? "auto";
